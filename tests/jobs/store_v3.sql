BEGIN TRANSACTION;
CREATE TABLE events (
        seq integer primary key autoincrement, job text not null, time real not null, kind text not null,
        body text not null
    );
INSERT INTO "events" VALUES(1,'ptq-20261126-185538-1a6801',1.79571933833705735207e+09,'started','{"pid": 1, "process_started": 1.0}');
INSERT INTO "events" VALUES(2,'ptq-20261126-185538-1a6801',1.79571933833731150632e+09,'row','{"calibration": "max", "accuracy": 91.5}');
INSERT INTO "events" VALUES(3,'ptq-20261126-185538-1a6801',1.79571933833752560619e+09,'row','{"calibration": "entropy", "accuracy": 91.5}');
INSERT INTO "events" VALUES(4,'ptq-20261126-185538-1a6801',1.7957193383377122879e+09,'finished','{"headline": "91.50 %"}');
INSERT INTO "events" VALUES(5,'describe-20261126-185538-2955fe',1.79571933833851552007e+09,'started','{"pid": 1, "process_started": 1.0}');
INSERT INTO "events" VALUES(6,'describe-20261126-185538-2955fe',1.79571933833871507646e+09,'failed','{"error": "Unknown sample model ''nothing''."}');
INSERT INTO "events" VALUES(7,'trials-20261126-185538-9a07db',1.79571933833943152432e+09,'started','{"pid": 1, "process_started": 1.0}');
INSERT INTO "events" VALUES(8,'trials-20261126-185538-9a07db',1.79571933833963108062e+09,'row','{"digest": "abc", "accuracy": 90.0}');
CREATE TABLE jobs (
        id text primary key, analysis text not null, params text not null, digest text not null, created real not null
    );
INSERT INTO "jobs" VALUES('ptq-20261126-185538-1a6801','ptq','{"model":"sample:resnet20","data":"sample:cifar10","device":"auto","batch_size":64,"seed":0,"evaluation_samples":2000,"plan":null,"bits":8,"weight_bits":null,"activation_bits":null,"skip":[],"calibration_samples":512,"calibrations":["max","entropy"],"weight_granularity":"per-channel","weight_scheme":"scale","activation_scheme":"scale","fold_bn":false}','4b3893df064244e1fa2c011b6f8f9e78c073307a9d143a640abab1a297b2e734',1.79571933833590912819e+09);
INSERT INTO "jobs" VALUES('describe-20261126-185538-2955fe','describe','{"model":"sample:nothing","data":"sample:cifar10","device":"auto","batch_size":64,"seed":0}','6bfbcca9a286778a637e96767eb7c4d48e0b6db98b3ccb0a34eedb2c30a2021f',1.79571933833806014063e+09);
INSERT INTO "jobs" VALUES('trials-20261126-185538-9a07db','trials','{"model":"sample:resnet20","data":"sample:cifar10","device":"auto","batch_size":64,"seed":0,"evaluation_samples":512,"plan":null,"bits":8,"weight_bits":null,"activation_bits":null,"skip":[],"calibration_samples":512,"calibration":"max","parts":"both","activation_scheme":"scale","memory_mb":1024,"idle_seconds":120.0}','9a2c06dc1324b029d14e63dcac856aeca00d9289681e6ef26d14a7fd732540e9',1.79571933833898735042e+09);
CREATE TABLE labels (
        job text primary key, note text not null default '', pinned integer not null default 0
    );
INSERT INTO "labels" VALUES('ptq-20261126-185538-1a6801','mine',1);
CREATE TABLE leases (
        job text primary key, device text not null, weight text not null, granted real, pid integer,
        process_started real, tries integer not null default 0
    );
CREATE INDEX jobs_by_digest on jobs (digest, created);
CREATE INDEX jobs_by_time on jobs (created);
CREATE INDEX events_by_kind on events (job, kind, seq);
COMMIT;
pragma user_version = 3;
