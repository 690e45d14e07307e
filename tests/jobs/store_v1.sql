-- a job store of version 1, as that version's program wrote it
BEGIN TRANSACTION;
CREATE TABLE events (
    seq integer primary key autoincrement, job text not null, time real not null, kind text not null, body text not null
);
INSERT INTO "events" VALUES(1,'ptq-20251009-085320-aaaaaa',1760000000.5,'started','{"pid": 100, "process_started": 1.0}');
INSERT INTO "events" VALUES(2,'ptq-20251009-085320-aaaaaa',1760000000.5,'progress','{"stage": "fp32", "done": 64, "total": 128}');
INSERT INTO "events" VALUES(3,'ptq-20251009-085320-aaaaaa',1760000000.5,'row','{"calibration": "max", "accuracy": 90.0}');
INSERT INTO "events" VALUES(4,'ptq-20251009-085320-aaaaaa',1760000000.5,'progress','{"stage": "max", "done": 128, "total": 128}');
INSERT INTO "events" VALUES(5,'ptq-20251009-085320-aaaaaa',1760000000.5,'row','{"calibration": "entropy", "accuracy": 91.0}');
INSERT INTO "events" VALUES(6,'ptq-20251009-085320-aaaaaa',1760000000.5,'finished','{}');
INSERT INTO "events" VALUES(7,'describe-20251009-085320-bbbbbb',1760000000.5,'started','{"pid": 101, "process_started": 1.0}');
INSERT INTO "events" VALUES(8,'describe-20251009-085320-bbbbbb',1760000000.5,'failed','{"error": "Unknown sample model ''nothing''."}');
INSERT INTO "events" VALUES(9,'evaluate-20251009-085320-cccccc',1760000000.5,'started','{"pid": 102, "process_started": 1.0}');
INSERT INTO "events" VALUES(10,'evaluate-20251009-085320-cccccc',1760000000.5,'progress','{"stage": "fp32", "done": 64, "total": 2000}');
CREATE TABLE jobs (
    id text primary key, analysis text not null, params text not null, digest text not null, created real not null
);
INSERT INTO "jobs" VALUES('ptq-20251009-085320-aaaaaa','ptq','{"model":"sample:resnet20","data":"sample:cifar10","device":"auto","batch_size":64,"seed":0,"evaluation_samples":2000,"plan":null,"bits":8,"weight_bits":null,"activation_bits":null,"skip":[],"calibration_samples":512,"calibrations":["max","entropy"],"weight_granularity":"per-channel","weight_scheme":"scale","activation_scheme":"scale","fold_bn":false}','p1',1760000000.5);
INSERT INTO "jobs" VALUES('describe-20251009-085320-bbbbbb','describe','{"model":"sample:nothing","data":"sample:cifar10","device":"auto","batch_size":64,"seed":0}','d1',1760000000.5);
INSERT INTO "jobs" VALUES('evaluate-20251009-085320-cccccc','evaluate','{"model":"sample:resnet20","data":"sample:cifar10","device":"auto","batch_size":64,"seed":0,"evaluation_samples":2000}','e1',1760000000.5);
INSERT INTO "jobs" VALUES('describe-20251009-085320-dddddd','describe','{"model":"sample:resnet20","data":"sample:cifar10","device":"auto","batch_size":64,"seed":3}','d1',1760000000.5);
CREATE INDEX jobs_by_digest on jobs (digest, created);
CREATE INDEX events_by_job on events (job, seq);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('events',10);
COMMIT;
PRAGMA user_version = 1;
