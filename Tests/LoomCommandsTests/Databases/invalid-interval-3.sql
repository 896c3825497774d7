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
INSERT INTO "attempts" VALUES('demo',0,0,'54b38f39856a6540ef28b3ce6bcc4cb67430a08ea54a20f9a9aff831b60fd4cc','completed','continue','{"current": 1, "target": 10}',NULL,NULL,NULL,'2026-11-26T06:58:12.174627+00:00','2026-11-26T06:58:12.174791+00:00');
INSERT INTO "attempts" VALUES('demo',1,0,'cec57738a4729f70ca803819b551d3397036a4a50fb611508e762e5c5cc000d0','completed','continue','{"current": 2, "target": 10}',NULL,NULL,NULL,'2026-11-26T06:58:12.175164+00:00','2026-11-26T06:58:12.175263+00:00');
INSERT INTO "attempts" VALUES('demo',2,0,'b792980164048f91de67b5a7054ce0967e615cdd38cb75cb791e426f8a4ed821','completed','continue','{"current": 3, "target": 10}',NULL,NULL,NULL,'2026-11-26T06:58:12.175499+00:00','2026-11-26T06:58:12.175603+00:00');
INSERT INTO "attempts" VALUES('demo',3,0,'67217e871f60b3eb01a5fa0f26ed1264cdc5a46a412aed12ecd8462b82a78a0d','failed',NULL,NULL,'StepExecutionError: bad shape','validation',0,'2026-11-26T06:58:12.175906+00:00','2026-11-26T06:58:12.176031+00:00');
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
INSERT INTO "committed_steps" VALUES('demo',0,'54b38f39856a6540ef28b3ce6bcc4cb67430a08ea54a20f9a9aff831b60fd4cc','continue','{"current": 1, "target": 10}',NULL,'2026-11-26T06:58:12.174905+00:00');
INSERT INTO "committed_steps" VALUES('demo',1,'cec57738a4729f70ca803819b551d3397036a4a50fb611508e762e5c5cc000d0','continue','{"current": 2, "target": 10}',NULL,'2026-11-26T06:58:12.175329+00:00');
INSERT INTO "committed_steps" VALUES('demo',2,'b792980164048f91de67b5a7054ce0967e615cdd38cb75cb791e426f8a4ed821','continue','{"current": 3, "target": 10}',NULL,'2026-11-26T06:58:12.175684+00:00');
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
INSERT INTO "runs" VALUES('demo','failed',3,'{"current": 3, "target": 10}',NULL,'StepExecutionError: bad shape','2026-11-26T06:58:12.174247+00:00','2026-11-26T06:58:12.176107+00:00');
INSERT INTO "runs" VALUES('zero','paused',0,'{"current": 0, "target": 1}',NULL,NULL,'2026-11-26T06:58:12.179900+00:00','2026-11-26T06:58:12.180067+00:00');
CREATE TABLE steps(
                    run_id text not null,
                    step_index integer not null,
                    state_json text not null,
                    created_at text not null,
                    primary key(run_id, step_index)
                );
INSERT INTO "steps" VALUES('demo',0,'{"current": 0, "target": 10}','2026-11-26T06:58:12.174247+00:00');
INSERT INTO "steps" VALUES('demo',3,'{"current": 3, "target": 10}','2026-11-26T06:58:12.175684+00:00');
INSERT INTO "steps" VALUES('zero',0,'{"current": 0, "target": 1}','2026-11-26T06:58:12.179900+00:00');
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
