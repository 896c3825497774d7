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
INSERT INTO "attempts" VALUES('demo',0,0,'54b38f39856a6540ef28b3ce6bcc4cb67430a08ea54a20f9a9aff831b60fd4cc','completed','continue','{"current": 1, "target": 10}',NULL,NULL,NULL,'2026-11-26T06:58:11.778806+00:00','2026-11-26T06:58:11.778979+00:00');
INSERT INTO "attempts" VALUES('demo',1,0,'cec57738a4729f70ca803819b551d3397036a4a50fb611508e762e5c5cc000d0','completed','continue','{"current": 2, "target": 10}',NULL,NULL,NULL,'2026-11-26T06:58:11.779456+00:00','2026-11-26T06:58:11.779564+00:00');
INSERT INTO "attempts" VALUES('demo',2,0,'b792980164048f91de67b5a7054ce0967e615cdd38cb75cb791e426f8a4ed821','failed',NULL,NULL,'StepExecutionError: network wobble','transient',1,'2026-11-26T06:58:11.779855+00:00','2026-11-26T06:58:11.780005+00:00');
INSERT INTO "attempts" VALUES('demo',2,1,'b792980164048f91de67b5a7054ce0967e615cdd38cb75cb791e426f8a4ed821','failed',NULL,NULL,'StepExecutionError: network wobble','transient',1,'2026-11-26T06:58:11.780082+00:00','2026-11-26T06:58:11.780217+00:00');
INSERT INTO "attempts" VALUES('demo',2,2,'b792980164048f91de67b5a7054ce0967e615cdd38cb75cb791e426f8a4ed821','completed','continue','{"current": 3, "target": 10}',NULL,NULL,NULL,'2026-11-26T06:58:11.780288+00:00','2026-11-26T06:58:11.780391+00:00');
INSERT INTO "attempts" VALUES('demo',3,0,'67217e871f60b3eb01a5fa0f26ed1264cdc5a46a412aed12ecd8462b82a78a0d','completed','continue','{"current": 4, "target": 10}',NULL,NULL,NULL,'2026-11-26T06:58:11.785310+00:00','2026-11-26T06:58:11.785484+00:00');
INSERT INTO "attempts" VALUES('demo',4,0,'5a9e4df08dce108badf318f4a070214f79286f376771a88c34fcabc3cfcc2b67','completed','continue','{"current": 5, "target": 10}',NULL,NULL,NULL,'2026-11-26T06:58:11.785814+00:00','2026-11-26T06:58:11.785928+00:00');
INSERT INTO "attempts" VALUES('demo',5,0,'af72995a122557419a397e6cfe9defea68109d8be76c8d9324e899c75c3941f9','completed','continue','{"current": 6, "target": 10}',NULL,NULL,NULL,'2026-11-26T06:58:11.799741+00:00','2026-11-26T06:58:11.799960+00:00');
INSERT INTO "attempts" VALUES('demo',6,0,'359324463391b496b056bc87f71989612a6d214e496d55ec59441e63ee712e29','completed','continue','{"current": 7, "target": 10}',NULL,NULL,NULL,'2026-11-26T06:58:11.800329+00:00','2026-11-26T06:58:11.804632+00:00');
INSERT INTO "attempts" VALUES('demo',7,0,'2529c4e5525f09edd18bfa27a380a42d33d784e69b7ed1b64d2da9456a5a801d','completed','continue','{"current": 8, "target": 10}',NULL,NULL,NULL,'2026-11-26T06:58:11.805405+00:00','2026-11-26T06:58:11.805554+00:00');
INSERT INTO "attempts" VALUES('demo',8,0,'a93d5cad8d76b0effefe33096ed2714495b0b26c387ee87eaf412a941d0ec27c','completed','continue','{"current": 9, "target": 10}',NULL,NULL,NULL,'2026-11-26T06:58:11.805869+00:00','2026-11-26T06:58:11.805982+00:00');
INSERT INTO "attempts" VALUES('demo',9,0,'e847179c76d0bea8a65b63f5b9283670d9cd30b41cdb8da94c234207c4d9655b','completed','continue','{"current": 10, "target": 10}',NULL,NULL,NULL,'2026-11-26T06:58:11.806300+00:00','2026-11-26T06:58:11.806393+00:00');
INSERT INTO "attempts" VALUES('demo',10,0,'fd96dc9ad985a9eb4df9abe2fdea946fdf69344750f1c6d6d292759f5f4b734c','completed','complete','{"current":10,"steps":10}',NULL,NULL,NULL,'2026-11-26T06:58:11.806641+00:00','2026-11-26T06:58:11.806737+00:00');
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
INSERT INTO "committed_steps" VALUES('demo',0,'54b38f39856a6540ef28b3ce6bcc4cb67430a08ea54a20f9a9aff831b60fd4cc','continue','{"current": 1, "target": 10}',NULL,'2026-11-26T06:58:11.779097+00:00');
INSERT INTO "committed_steps" VALUES('demo',1,'cec57738a4729f70ca803819b551d3397036a4a50fb611508e762e5c5cc000d0','continue','{"current": 2, "target": 10}',NULL,'2026-11-26T06:58:11.779638+00:00');
INSERT INTO "committed_steps" VALUES('demo',2,'b792980164048f91de67b5a7054ce0967e615cdd38cb75cb791e426f8a4ed821','continue','{"current": 3, "target": 10}',NULL,'2026-11-26T06:58:11.784699+00:00');
INSERT INTO "committed_steps" VALUES('demo',3,'67217e871f60b3eb01a5fa0f26ed1264cdc5a46a412aed12ecd8462b82a78a0d','continue','{"current": 4, "target": 10}',NULL,'2026-11-26T06:58:11.785573+00:00');
INSERT INTO "committed_steps" VALUES('demo',4,'5a9e4df08dce108badf318f4a070214f79286f376771a88c34fcabc3cfcc2b67','continue','{"current": 5, "target": 10}',NULL,'2026-11-26T06:58:11.786004+00:00');
INSERT INTO "committed_steps" VALUES('demo',5,'af72995a122557419a397e6cfe9defea68109d8be76c8d9324e899c75c3941f9','continue','{"current": 6, "target": 10}',NULL,'2026-11-26T06:58:11.800053+00:00');
INSERT INTO "committed_steps" VALUES('demo',6,'359324463391b496b056bc87f71989612a6d214e496d55ec59441e63ee712e29','continue','{"current": 7, "target": 10}',NULL,'2026-11-26T06:58:11.804953+00:00');
INSERT INTO "committed_steps" VALUES('demo',7,'2529c4e5525f09edd18bfa27a380a42d33d784e69b7ed1b64d2da9456a5a801d','continue','{"current": 8, "target": 10}',NULL,'2026-11-26T06:58:11.805638+00:00');
INSERT INTO "committed_steps" VALUES('demo',8,'a93d5cad8d76b0effefe33096ed2714495b0b26c387ee87eaf412a941d0ec27c','continue','{"current": 9, "target": 10}',NULL,'2026-11-26T06:58:11.806056+00:00');
INSERT INTO "committed_steps" VALUES('demo',9,'e847179c76d0bea8a65b63f5b9283670d9cd30b41cdb8da94c234207c4d9655b','continue','{"current": 10, "target": 10}',NULL,'2026-11-26T06:58:11.806453+00:00');
INSERT INTO "committed_steps" VALUES('demo',10,'fd96dc9ad985a9eb4df9abe2fdea946fdf69344750f1c6d6d292759f5f4b734c','complete',NULL,'{"current":10,"steps":10}','2026-11-26T06:58:11.806804+00:00');
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
INSERT INTO "runs" VALUES('demo','completed',10,NULL,'{"current":10,"steps":10}',NULL,'2026-11-26T06:58:11.778403+00:00','2026-11-26T06:58:11.806804+00:00');
INSERT INTO "runs" VALUES('zero','paused',0,'{"current": 0, "target": 1}',NULL,NULL,'2026-11-26T06:58:11.814885+00:00','2026-11-26T06:58:11.815047+00:00');
CREATE TABLE steps(
                    run_id text not null,
                    step_index integer not null,
                    state_json text not null,
                    created_at text not null,
                    primary key(run_id, step_index)
                );
INSERT INTO "steps" VALUES('demo',0,'{"current": 0, "target": 10}','2026-11-26T06:58:11.778403+00:00');
INSERT INTO "steps" VALUES('demo',1,'{"current": 1, "target": 10}','2026-11-26T06:58:11.779097+00:00');
INSERT INTO "steps" VALUES('demo',2,'{"current": 2, "target": 10}','2026-11-26T06:58:11.779638+00:00');
INSERT INTO "steps" VALUES('demo',3,'{"current": 3, "target": 10}','2026-11-26T06:58:11.784699+00:00');
INSERT INTO "steps" VALUES('demo',4,'{"current": 4, "target": 10}','2026-11-26T06:58:11.785573+00:00');
INSERT INTO "steps" VALUES('demo',5,'{"current": 5, "target": 10}','2026-11-26T06:58:11.786004+00:00');
INSERT INTO "steps" VALUES('demo',6,'{"current": 6, "target": 10}','2026-11-26T06:58:11.800053+00:00');
INSERT INTO "steps" VALUES('demo',7,'{"current": 7, "target": 10}','2026-11-26T06:58:11.804953+00:00');
INSERT INTO "steps" VALUES('demo',8,'{"current": 8, "target": 10}','2026-11-26T06:58:11.805638+00:00');
INSERT INTO "steps" VALUES('demo',9,'{"current": 9, "target": 10}','2026-11-26T06:58:11.806056+00:00');
INSERT INTO "steps" VALUES('demo',10,'{"current": 10, "target": 10}','2026-11-26T06:58:11.806453+00:00');
INSERT INTO "steps" VALUES('zero',0,'{"current": 0, "target": 1}','2026-11-26T06:58:11.814885+00:00');
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
