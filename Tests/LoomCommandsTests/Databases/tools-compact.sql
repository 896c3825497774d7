BEGIN TRANSACTION;
CREATE TABLE attempts(
                    run_id text not null,
                    step_index integer not null,
                    attempt_index integer not null,
                    input_hash text not null,
                    status text not null,
                    outcome_kind text,
                    output_json text,
                    error text,
                    error_category text,
                    is_retryable integer,
                    started_at text not null,
                    finished_at text,
                    primary key(run_id, step_index, attempt_index)
                );
INSERT INTO "attempts" VALUES('demo',2,0,'b792980164048f91de67b5a7054ce0967e615cdd38cb75cb791e426f8a4ed821','failed',NULL,NULL,'StepExecutionError: after side effect','transient',1,'2026-11-26T06:58:12.731821+00:00','2026-11-26T06:58:12.731918+00:00');
INSERT INTO "attempts" VALUES('demo',2,1,'b792980164048f91de67b5a7054ce0967e615cdd38cb75cb791e426f8a4ed821','completed','continue','{"current": 3, "target": 10}',NULL,NULL,NULL,'2026-11-26T06:58:12.732004+00:00','2026-11-26T06:58:12.732206+00:00');
CREATE TABLE committed_steps(
                    run_id text not null,
                    step_index integer not null,
                    input_hash text not null,
                    outcome_kind text not null,
                    state_json text,
                    result_json text,
                    created_at text not null,
                    primary key(run_id, step_index),
                    unique(run_id, step_index, input_hash)
                );
INSERT INTO "committed_steps" VALUES('demo',0,'54b38f39856a6540ef28b3ce6bcc4cb67430a08ea54a20f9a9aff831b60fd4cc','continue','{"current": 1, "target": 10}',NULL,'2026-11-26T06:58:12.730892+00:00');
INSERT INTO "committed_steps" VALUES('demo',1,'cec57738a4729f70ca803819b551d3397036a4a50fb611508e762e5c5cc000d0','continue','{"current": 2, "target": 10}',NULL,'2026-11-26T06:58:12.731417+00:00');
INSERT INTO "committed_steps" VALUES('demo',2,'b792980164048f91de67b5a7054ce0967e615cdd38cb75cb791e426f8a4ed821','continue','{"current": 3, "target": 10}',NULL,'2026-11-26T06:58:12.732264+00:00');
INSERT INTO "committed_steps" VALUES('demo',3,'67217e871f60b3eb01a5fa0f26ed1264cdc5a46a412aed12ecd8462b82a78a0d','continue','{"current": 4, "target": 10}',NULL,'2026-11-26T06:58:12.732802+00:00');
INSERT INTO "committed_steps" VALUES('demo',4,'5a9e4df08dce108badf318f4a070214f79286f376771a88c34fcabc3cfcc2b67','continue','{"current": 5, "target": 10}',NULL,'2026-11-26T06:58:12.733263+00:00');
INSERT INTO "committed_steps" VALUES('demo',5,'af72995a122557419a397e6cfe9defea68109d8be76c8d9324e899c75c3941f9','continue','{"current": 6, "target": 10}',NULL,'2026-11-26T06:58:12.736260+00:00');
INSERT INTO "committed_steps" VALUES('demo',6,'359324463391b496b056bc87f71989612a6d214e496d55ec59441e63ee712e29','continue','{"current": 7, "target": 10}',NULL,'2026-11-26T06:58:12.741262+00:00');
INSERT INTO "committed_steps" VALUES('demo',7,'2529c4e5525f09edd18bfa27a380a42d33d784e69b7ed1b64d2da9456a5a801d','continue','{"current": 8, "target": 10}',NULL,'2026-11-26T06:58:12.741797+00:00');
INSERT INTO "committed_steps" VALUES('demo',8,'a93d5cad8d76b0effefe33096ed2714495b0b26c387ee87eaf412a941d0ec27c','continue','{"current": 9, "target": 10}',NULL,'2026-11-26T06:58:12.742240+00:00');
INSERT INTO "committed_steps" VALUES('demo',9,'e847179c76d0bea8a65b63f5b9283670d9cd30b41cdb8da94c234207c4d9655b','continue','{"current": 10, "target": 10}',NULL,'2026-11-26T06:58:12.742671+00:00');
INSERT INTO "committed_steps" VALUES('demo',10,'fd96dc9ad985a9eb4df9abe2fdea946fdf69344750f1c6d6d292759f5f4b734c','complete',NULL,'{"current":10,"steps":10}','2026-11-26T06:58:12.742863+00:00');
CREATE TABLE runs(
                    run_id text primary key,
                    status text not null,
                    step_index integer not null,
                    state_json text,
                    result_json text,
                    error text,
                    created_at text not null,
                    updated_at text not null
                );
INSERT INTO "runs" VALUES('demo','completed',10,NULL,'{"current":10,"steps":10}',NULL,'2026-11-26T06:58:12.730063+00:00','2026-11-26T06:58:12.742863+00:00');
INSERT INTO "runs" VALUES('zero','paused',0,'{"current": 0, "target": 1}',NULL,NULL,'2026-11-26T06:58:12.749741+00:00','2026-11-26T06:58:12.749875+00:00');
CREATE TABLE steps(
                    run_id text not null,
                    step_index integer not null,
                    state_json text not null,
                    created_at text not null,
                    primary key(run_id, step_index)
                );
INSERT INTO "steps" VALUES('demo',0,'{"current": 0, "target": 10}','2026-11-26T06:58:12.730063+00:00');
INSERT INTO "steps" VALUES('demo',1,'{"current": 1, "target": 10}','2026-11-26T06:58:12.730892+00:00');
INSERT INTO "steps" VALUES('demo',2,'{"current": 2, "target": 10}','2026-11-26T06:58:12.731417+00:00');
INSERT INTO "steps" VALUES('demo',3,'{"current": 3, "target": 10}','2026-11-26T06:58:12.732264+00:00');
INSERT INTO "steps" VALUES('demo',4,'{"current": 4, "target": 10}','2026-11-26T06:58:12.732802+00:00');
INSERT INTO "steps" VALUES('demo',5,'{"current": 5, "target": 10}','2026-11-26T06:58:12.733263+00:00');
INSERT INTO "steps" VALUES('demo',6,'{"current": 6, "target": 10}','2026-11-26T06:58:12.736260+00:00');
INSERT INTO "steps" VALUES('demo',7,'{"current": 7, "target": 10}','2026-11-26T06:58:12.741262+00:00');
INSERT INTO "steps" VALUES('demo',8,'{"current": 8, "target": 10}','2026-11-26T06:58:12.741797+00:00');
INSERT INTO "steps" VALUES('demo',9,'{"current": 9, "target": 10}','2026-11-26T06:58:12.742240+00:00');
INSERT INTO "steps" VALUES('demo',10,'{"current": 10, "target": 10}','2026-11-26T06:58:12.742671+00:00');
INSERT INTO "steps" VALUES('zero',0,'{"current": 0, "target": 1}','2026-11-26T06:58:12.749741+00:00');
CREATE TABLE tool_calls(
                    tool_call_id text primary key,
                    run_id text not null,
                    step_index integer not null,
                    attempt_index integer not null,
                    idempotency_key text not null,
                    tool_name text not null,
                    request_hash text not null,
                    status text not null,
                    result_json text,
                    error text,
                    error_category text,
                    started_at text not null,
                    finished_at text
                );
INSERT INTO "tool_calls" VALUES('demo:0:tool:0:increment:1c2855d53b47e6a93250255db57a1a89b0d5f7c870b6bab3212333d474992121:attempt:0:call:0','demo',0,0,'demo:0:tool:0:increment:1c2855d53b47e6a93250255db57a1a89b0d5f7c870b6bab3212333d474992121','increment','1c2855d53b47e6a93250255db57a1a89b0d5f7c870b6bab3212333d474992121','completed','{"attempted_action":null,"error_category":null,"is_error":false,"is_retryable":false,"metadata":{},"partial_results":[],"payload":{"current":1},"result_type":"generic","success":true,"suggested_next_steps":[]}',NULL,NULL,'2026-11-26T06:58:12.730571+00:00','2026-11-26T06:58:12.730750+00:00');
INSERT INTO "tool_calls" VALUES('demo:1:tool:0:increment:cc50562bad88c9f815d6b5f8a7bfa9bb8926eb6c313c0ea3e06c857a15d1b257:attempt:0:call:0','demo',1,0,'demo:1:tool:0:increment:cc50562bad88c9f815d6b5f8a7bfa9bb8926eb6c313c0ea3e06c857a15d1b257','increment','cc50562bad88c9f815d6b5f8a7bfa9bb8926eb6c313c0ea3e06c857a15d1b257','completed','{"attempted_action":null,"error_category":null,"is_error":false,"is_retryable":false,"metadata":{},"partial_results":[],"payload":{"current":2},"result_type":"generic","success":true,"suggested_next_steps":[]}',NULL,NULL,'2026-11-26T06:58:12.731218+00:00','2026-11-26T06:58:12.731329+00:00');
INSERT INTO "tool_calls" VALUES('demo:2:tool:0:increment:24cd04781be52c92ad13100a4d21304a277afcba845b7bd4c79861c0cbc969ee:attempt:0:call:0','demo',2,0,'demo:2:tool:0:increment:24cd04781be52c92ad13100a4d21304a277afcba845b7bd4c79861c0cbc969ee','increment','24cd04781be52c92ad13100a4d21304a277afcba845b7bd4c79861c0cbc969ee','completed','{"attempted_action":null,"error_category":null,"is_error":false,"is_retryable":false,"metadata":{},"partial_results":[],"payload":{"current":3},"result_type":"generic","success":true,"suggested_next_steps":[]}',NULL,NULL,'2026-11-26T06:58:12.731625+00:00','2026-11-26T06:58:12.731728+00:00');
INSERT INTO "tool_calls" VALUES('demo:3:tool:0:increment:6f53598fd249a08a9c06bf3f27a26d3ee0e468a78a132b11dbec3aba2119589b:attempt:0:call:0','demo',3,0,'demo:3:tool:0:increment:6f53598fd249a08a9c06bf3f27a26d3ee0e468a78a132b11dbec3aba2119589b','increment','6f53598fd249a08a9c06bf3f27a26d3ee0e468a78a132b11dbec3aba2119589b','completed','{"attempted_action":null,"error_category":null,"is_error":false,"is_retryable":false,"metadata":{},"partial_results":[],"payload":{"current":4},"result_type":"generic","success":true,"suggested_next_steps":[]}',NULL,NULL,'2026-11-26T06:58:12.732544+00:00','2026-11-26T06:58:12.732715+00:00');
INSERT INTO "tool_calls" VALUES('demo:4:tool:0:increment:c8c772549d4044400cdf02ea957172c806348b7e8cd5440f889ee75718bcacfc:attempt:0:call:0','demo',4,0,'demo:4:tool:0:increment:c8c772549d4044400cdf02ea957172c806348b7e8cd5440f889ee75718bcacfc','increment','c8c772549d4044400cdf02ea957172c806348b7e8cd5440f889ee75718bcacfc','completed','{"attempted_action":null,"error_category":null,"is_error":false,"is_retryable":false,"metadata":{},"partial_results":[],"payload":{"current":5},"result_type":"generic","success":true,"suggested_next_steps":[]}',NULL,NULL,'2026-11-26T06:58:12.733041+00:00','2026-11-26T06:58:12.733176+00:00');
INSERT INTO "tool_calls" VALUES('demo:5:tool:0:increment:59981f7f099ddcd70f82c8b77e1b5a4f75c5a2044dc2bba53742751b1482d08f:attempt:0:call:0','demo',5,0,'demo:5:tool:0:increment:59981f7f099ddcd70f82c8b77e1b5a4f75c5a2044dc2bba53742751b1482d08f','increment','59981f7f099ddcd70f82c8b77e1b5a4f75c5a2044dc2bba53742751b1482d08f','completed','{"attempted_action":null,"error_category":null,"is_error":false,"is_retryable":false,"metadata":{},"partial_results":[],"payload":{"current":6},"result_type":"generic","success":true,"suggested_next_steps":[]}',NULL,NULL,'2026-11-26T06:58:12.735931+00:00','2026-11-26T06:58:12.736156+00:00');
INSERT INTO "tool_calls" VALUES('demo:6:tool:0:increment:daa0b565812b32e6dcb8e7c694b024a13e4c77e6a96df356c46937f79e225827:attempt:0:call:0','demo',6,0,'demo:6:tool:0:increment:daa0b565812b32e6dcb8e7c694b024a13e4c77e6a96df356c46937f79e225827','increment','daa0b565812b32e6dcb8e7c694b024a13e4c77e6a96df356c46937f79e225827','completed','{"attempted_action":null,"error_category":null,"is_error":false,"is_retryable":false,"metadata":{},"partial_results":[],"payload":{"current":7},"result_type":"generic","success":true,"suggested_next_steps":[]}',NULL,NULL,'2026-11-26T06:58:12.740841+00:00','2026-11-26T06:58:12.741130+00:00');
INSERT INTO "tool_calls" VALUES('demo:7:tool:0:increment:8bcbc2617d9fca4956d31e4b06af3f2f0e9378eab0d39d696fbcba99f09f9e41:attempt:0:call:0','demo',7,0,'demo:7:tool:0:increment:8bcbc2617d9fca4956d31e4b06af3f2f0e9378eab0d39d696fbcba99f09f9e41','increment','8bcbc2617d9fca4956d31e4b06af3f2f0e9378eab0d39d696fbcba99f09f9e41','completed','{"attempted_action":null,"error_category":null,"is_error":false,"is_retryable":false,"metadata":{},"partial_results":[],"payload":{"current":8},"result_type":"generic","success":true,"suggested_next_steps":[]}',NULL,NULL,'2026-11-26T06:58:12.741543+00:00','2026-11-26T06:58:12.741705+00:00');
INSERT INTO "tool_calls" VALUES('demo:8:tool:0:increment:f3940930f86296d54b8ab21e640de4ec387bb0719351090f0da67cb94bcedfc7:attempt:0:call:0','demo',8,0,'demo:8:tool:0:increment:f3940930f86296d54b8ab21e640de4ec387bb0719351090f0da67cb94bcedfc7','increment','f3940930f86296d54b8ab21e640de4ec387bb0719351090f0da67cb94bcedfc7','completed','{"attempted_action":null,"error_category":null,"is_error":false,"is_retryable":false,"metadata":{},"partial_results":[],"payload":{"current":9},"result_type":"generic","success":true,"suggested_next_steps":[]}',NULL,NULL,'2026-11-26T06:58:12.742011+00:00','2026-11-26T06:58:12.742148+00:00');
INSERT INTO "tool_calls" VALUES('demo:9:tool:0:increment:38fc7900f62d8117929a777195e36686a254e0e09def1933ea63f298141e4a72:attempt:0:call:0','demo',9,0,'demo:9:tool:0:increment:38fc7900f62d8117929a777195e36686a254e0e09def1933ea63f298141e4a72','increment','38fc7900f62d8117929a777195e36686a254e0e09def1933ea63f298141e4a72','completed','{"attempted_action":null,"error_category":null,"is_error":false,"is_retryable":false,"metadata":{},"partial_results":[],"payload":{"current":10},"result_type":"generic","success":true,"suggested_next_steps":[]}',NULL,NULL,'2026-11-26T06:58:12.742471+00:00','2026-11-26T06:58:12.742587+00:00');
CREATE INDEX idx_tool_calls_idempotency_key
                on tool_calls(idempotency_key, status)
                ;
CREATE INDEX idx_tool_calls_run_step_attempt
                on tool_calls(run_id, step_index, attempt_index)
                ;
COMMIT;
