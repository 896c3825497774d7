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
INSERT INTO "attempts" VALUES('demo',0,0,'54b38f39856a6540ef28b3ce6bcc4cb67430a08ea54a20f9a9aff831b60fd4cc','completed','continue','{"current": 1, "target": 10}',NULL,NULL,NULL,'2026-11-26T06:58:12.323893+00:00','2026-11-26T06:58:12.324010+00:00');
INSERT INTO "attempts" VALUES('demo',1,0,'cec57738a4729f70ca803819b551d3397036a4a50fb611508e762e5c5cc000d0','failed',NULL,NULL,'StepExecutionError: still down','transient',1,'2026-11-26T06:58:12.324320+00:00','2026-11-26T06:58:12.324408+00:00');
INSERT INTO "attempts" VALUES('demo',1,1,'cec57738a4729f70ca803819b551d3397036a4a50fb611508e762e5c5cc000d0','failed',NULL,NULL,'StepExecutionError: still down','transient',1,'2026-11-26T06:58:12.328536+00:00','2026-11-26T06:58:12.328672+00:00');
INSERT INTO "attempts" VALUES('demo',1,2,'cec57738a4729f70ca803819b551d3397036a4a50fb611508e762e5c5cc000d0','failed',NULL,NULL,'StepExecutionError: still down','transient',1,'2026-11-26T06:58:12.328725+00:00','2026-11-26T06:58:12.328784+00:00');
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
INSERT INTO "committed_steps" VALUES('demo',0,'54b38f39856a6540ef28b3ce6bcc4cb67430a08ea54a20f9a9aff831b60fd4cc','continue','{"current": 1, "target": 10}',NULL,'2026-11-26T06:58:12.324091+00:00');
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
INSERT INTO "runs" VALUES('demo','failed',1,'{"current": 1, "target": 10}',NULL,'StepExecutionError: still down','2026-11-26T06:58:12.323627+00:00','2026-11-26T06:58:12.328832+00:00');
INSERT INTO "runs" VALUES('zero','paused',0,'{"current": 0, "target": 1}',NULL,NULL,'2026-11-26T06:58:12.331665+00:00','2026-11-26T06:58:12.331747+00:00');
CREATE TABLE steps(
                    run_id text not null,
                    step_index integer not null,
                    state_json text not null,
                    created_at text not null,
                    primary key(run_id, step_index)
                );
INSERT INTO "steps" VALUES('demo',0,'{"current": 0, "target": 10}','2026-11-26T06:58:12.323627+00:00');
INSERT INTO "steps" VALUES('demo',1,'{"current": 1, "target": 10}','2026-11-26T06:58:12.324091+00:00');
INSERT INTO "steps" VALUES('zero',0,'{"current": 0, "target": 1}','2026-11-26T06:58:12.331665+00:00');
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
CREATE INDEX idx_tool_calls_idempotency_key
                on tool_calls(idempotency_key, status)
                ;
CREATE INDEX idx_tool_calls_run_step_attempt
                on tool_calls(run_id, step_index, attempt_index)
                ;
COMMIT;
