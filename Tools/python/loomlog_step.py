"""Steps of a durable loop in Python, for `loomlog run ... -- python3 your_program.py`.

One file, no dependency, Python 3.8 or newer. A step program in ten lines:

    import loomlog_step

    def step(state, ctx):
        if state["current"] >= state["target"]:
            return ctx.complete(state["current"])
        page = ctx.call("fetch", state["current"], fetch)      # answered from the log when it completed before
        return {"current": state["current"] + 1, "target": state["target"], "page": page}

    loomlog_step.serve(step, name="counter", state={"current": 0, "target": 10})

Copy this file beside your program, or name its folder in PYTHONPATH, which loomlog passes on.

The state goes in and comes out as JSON; a dict (or any other value but None) that `step` returns is the next state.
Numbers are integers of at most 64 bits or floats, and 1.0 is stored as 1; there is no NaN; keys of a dict are strings;
tuples come back as lists. What a step does to the world belongs into `ctx.call`, so that a completed call is never made again.
`print` goes to standard error: standard output belongs to the protocol, which Sources/LoomStdio/LoomStdio.docc
describes.
"""
import json
import os
import sys
import traceback

PROTOCOL = 1
CATEGORIES = ("transient", "validation", "business", "permission", "unknown")


class StepError(Exception):
    """A failure that says for itself how it is to be treated.

    Only a transient one is tried again, unless `retryable` says otherwise.
    """

    def __init__(self, message, category="unknown", retryable=None, retry_after=None):
        super().__init__(message)
        self.category = category
        self.retryable = retryable
        self.retry_after = retry_after


class DidNotHappen(StepError):
    """Raise this from a tool of safety "once" when it is certain that nothing happened."""

    def __init__(self, message, category="transient"):
        super().__init__(message, category)


class OutcomeUnknown(Exception):
    """A call of safety "once" may have happened: the run pauses until somebody says. Let it pass."""


class _Complete:
    def __init__(self, result):
        self.result = result


class _Pause:
    def __init__(self, state, reason):
        self.state, self.reason = state, reason


class Context:
    """What a step is given besides its state."""

    def __init__(self, channel, message):
        self._channel = channel
        self._calls = 0
        self.run_id = message["run_id"]
        self.step_index = message["step_index"]
        self.attempt_index = message["attempt_index"]
        self.input_hash = message["input_hash"]
        self.idempotency_key = message["idempotency_key"]
        self.labels = message.get("labels", {})

    def complete(self, result=None):
        """The end of the run: `return ctx.complete(result)`."""
        return _Complete(result)

    def pause(self, state, reason=""):
        """The next state, and nobody drives the run on until it is resumed."""
        return _Pause(state, reason)

    def call(self, name, request, function, safety="idempotent", key=None, scope="run", reconcile=None):
        """Calls `function(request)`, or answers from the log when this call has completed before.

        safety: "pure" or "idempotent" may run again when nobody knows whether it happened, "once" never does: then
        `reconcile(request)` says (True, result) or (False, None), or else the run pauses. `function` may take a second
        argument: the idempotency key of the call, for the other side. key: tells this call from others for the whole
        run, or with scope="store" for every run of the store.
        """
        self._calls += 1
        number = self._calls
        message = {"type": "tool", "id": number, "name": name, "request": request, "safety": safety}
        if key is not None:
            message.update(key=key, scope=scope)
        if reconcile is not None:
            message["reconciles"] = True
        self._channel.send(message)
        failure = None
        while True:
            answer = self._channel.receive()
            kind = answer["type"]
            if kind == "tool_run":
                try:
                    result = _apply(function, request, answer["idempotency_key"])
                    line = self._channel.line({"type": "tool_done", "id": number, "result": result})
                except Exception as error:
                    failure = error
                    end = dict(_described(error), type="tool_failed", id=number)
                    if isinstance(error, DidNotHappen):
                        end["did_not_happen"] = True
                    line = self._channel.line(end)
                self._channel.write(line)
            elif kind == "tool_reconcile":
                try:
                    happened, result = reconcile(answer["request"])
                    line = self._channel.line(
                        {"type": "tool_reconciled", "id": number, "happened": bool(happened), "result": result})
                except Exception as error:
                    failure = error
                    line = self._channel.line(dict(_described(error), type="tool_failed", id=number))
                self._channel.write(line)
            elif kind in ("tool_result", "tool_recorded"):
                if failure is not None:
                    raise failure
                return answer["result"]
            elif kind == "tool_refused":
                raise StepError(answer["error"], "validation")
            else:
                raise OutcomeUnknown(answer.get("error", kind)) from failure

    def label(self, name, value):
        """Sets a label of the run; an empty value takes it away."""
        self._channel.send({"type": "label", "name": name, "value": str(value)})

    def log(self, message, level="info"):
        """Logs a line under the run, the step and the attempt; `--verbose` shows it."""
        self._channel.send({"type": "log", "level": level, "message": str(message)})


def _apply(function, request, key):
    code = getattr(function, "__code__", None)
    if code is not None and code.co_argcount - (1 if hasattr(function, "__self__") else 0) >= 2:
        return function(request, key)
    return function(request)


def _described(error):
    category = getattr(error, "category", None)
    if category not in CATEGORIES:
        passes = isinstance(error, (TimeoutError, ConnectionError, InterruptedError))
        category = "transient" if passes else "unknown"
    text = "%s: %s" % (type(error).__name__, error)
    described = {"error": text.encode("utf-8", "replace").decode(), "category": category}
    if getattr(error, "retryable", None) is not None:
        described["retryable"] = bool(error.retryable)
    if getattr(error, "retry_after", None) is not None:
        described["retry_after"] = error.retry_after
    return described


def _encoded(message):
    # What the log's JSON cannot hold (NaN, half a surrogate, endless nesting) is the step's error, here.
    _check(message, 0)
    return (json.dumps(message, ensure_ascii=False, allow_nan=False) + "\n").encode("utf-8")


def _check(value, depth):
    if depth > 500:
        raise ValueError("more than 500 levels of lists and dicts")
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        raise ValueError("an integer of more than 64 bits")
    if isinstance(value, dict):
        for key, member in value.items():
            if not isinstance(key, str):
                raise TypeError("a key of a dict that is no string: %r" % (key,))
            _check(member, depth + 1)
    elif isinstance(value, (list, tuple)):
        for member in value:
            _check(member, depth + 1)


class _Channel:
    def __init__(self):
        self._input = os.fdopen(os.dup(0), "rb")
        self._output = os.fdopen(os.dup(1), "wb")
        # What anybody prints goes to standard error, and nobody reads the protocol: also not the programs that a
        # step starts.
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        os.dup2(2, 1)
        sys.stdin = open(0, closefd=False)
        sys.stdout = sys.stderr
        self.turn = None

    def line(self, message):
        """The bytes of a message; raises when JSON cannot say it."""
        if self.turn is not None:
            # Tells loomlog which step this is about.
            message = dict(message, turn=self.turn)
        return _encoded(message)

    def write(self, line):
        self._output.write(line)
        self._output.flush()

    def send(self, message):
        self.write(self.line(message))

    def receive(self):
        line = self._input.readline()
        if not line:
            raise SystemExit(0)
        return json.loads(line)


def serve(step, name, state=None, state_version=1, migrate=None):
    """Answers loomlog until it closes standard input. `state` is the first state of a new run, or a function.

    Raise `state_version` when the state gets another shape, and give `migrate(state, version)`, which returns a state of
    an older version in the present shape: so runs of older programs go on.
    """
    channel = _Channel()
    hello = channel.receive()
    if hello.get("type") != "hello" or hello.get("protocol") != PROTOCOL:
        raise SystemExit("this is loomlog_step.py for protocol %d, not %r" % (PROTOCOL, hello.get("protocol")))
    answer = {"type": "hello", "protocol": PROTOCOL, "name": name, "state_version": state_version}
    first = state() if callable(state) else state
    if first is not None:
        answer["state"] = first
    if migrate is not None:
        answer["migrates"] = True
    channel.send(answer)
    while True:
        message = channel.receive()
        channel.turn = message.get("turn")
        if message["type"] == "migrate":
            try:
                line = channel.line({"type": "migrated", "state": migrate(message["state"], message["from"])})
            except Exception as error:
                line = channel.line(dict(_described(error), type="error"))
            channel.write(line)
            continue
        if message["type"] != "step":
            raise SystemExit("loomlog sent %r where a step was due" % message["type"])
        try:
            line = channel.line(_outcome(step(message["state"], Context(channel, message))))
        except Exception as error:
            if not isinstance(error, (StepError, OutcomeUnknown)):
                traceback.print_exc()
            line = channel.line(dict(_described(error), type="error"))
        channel.write(line)


def _outcome(value):
    if isinstance(value, _Complete):
        return {"type": "outcome", "kind": "complete", "result": value.result}
    if value is None:
        raise TypeError("the step returned None: return the next state, or ctx.complete(...)")
    if isinstance(value, _Pause):
        return {"type": "outcome", "kind": "pause", "state": value.state, "reason": value.reason}
    return {"type": "outcome", "kind": "continue", "state": value}
