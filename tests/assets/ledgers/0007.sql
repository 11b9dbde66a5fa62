BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0007');
CREATE TABLE campaigns (
	name VARCHAR NOT NULL, 
	status VARCHAR NOT NULL, 
	seed BIGINT NOT NULL, 
	pool VARCHAR NOT NULL, 
	identity VARCHAR NOT NULL, 
	created VARCHAR NOT NULL, 
	CONSTRAINT pk_campaigns PRIMARY KEY (name)
);
INSERT INTO "campaigns" VALUES('demo','running',3,'pool','pair-and-seed','2026-11-30T14:02:58.163716+00:00');
CREATE TABLE candidates (
	campaign VARCHAR NOT NULL, 
	round INTEGER NOT NULL, 
	position INTEGER NOT NULL, 
	prompt_id VARCHAR NOT NULL, 
	question TEXT NOT NULL, 
	images TEXT NOT NULL, 
	origin VARCHAR NOT NULL, 
	parent VARCHAR, 
	attributes TEXT NOT NULL, 
	fate VARCHAR NOT NULL, 
	detail TEXT NOT NULL, 
	region INTEGER NOT NULL, 
	delta FLOAT, 
	consistency FLOAT, 
	CONSTRAINT pk_candidates PRIMARY KEY (campaign, round, position), 
	CONSTRAINT fk_candidates_campaign_round FOREIGN KEY(campaign, round) REFERENCES rounds (campaign, "index")
);
INSERT INTO "candidates" VALUES('demo',1,0,'22eb94c51228cacbf8eaa2aa8680ce38347be13f829073612add2e57c650e4ae','What?','[]','seed_guided','0c8e29091727ccbfe73094fb3fa1769109a89744c6189f7529d5738308ac9c9a','{"skill": "sum"}','admitted','',0,0.7,1.0);
INSERT INTO "candidates" VALUES('demo',1,1,'017ee94109cfa46dcba08943c04eab2a79679fac3180c9da84fd341b6ca2a517','Why?','[]','seed_guided','0c8e29091727ccbfe73094fb3fa1769109a89744c6189f7529d5738308ac9c9a','{"skill": "sum"}','zero_delta','delta 0.00',1,0.0,1.0);
INSERT INTO "candidates" VALUES('demo',1,2,'22eb94c51228cacbf8eaa2aa8680ce38347be13f829073612add2e57c650e4ae','What?','[]','seed_guided','0c8e29091727ccbfe73094fb3fa1769109a89744c6189f7529d5738308ac9c9a','{"skill": "sum"}','duplicate','same content',1,NULL,NULL);
INSERT INTO "candidates" VALUES('demo',1,3,'f17f2348827a6fdef418562e7ee759e12b2be0e927b02d7792193887f7cf506b','','[]','seed_guided','0c8e29091727ccbfe73094fb3fa1769109a89744c6189f7529d5738308ac9c9a','{"skill": "sum"}','unparsed','empty question',0,NULL,NULL);
CREATE TABLE embeddings (
	embedder TEXT NOT NULL, 
	prompt_id VARCHAR NOT NULL, 
	vector BLOB NOT NULL, 
	CONSTRAINT pk_embeddings PRIMARY KEY (embedder, prompt_id)
);
INSERT INTO "embeddings" VALUES('embedder','0c8e29091727ccbfe73094fb3fa1769109a89744c6189f7529d5738308ac9c9a',X'C33D8A3D0F4091BD8C09B03E45AD663D393E93BEC4C9463E3B38333F4F2A023F');
INSERT INTO "embeddings" VALUES('embedder','496ea1b06d8a62da24976c60c6ca43f2fafeb2741ddf11907e1a3c357d7ffa02',X'B08D63BE6E96CCBE518949BE02CE553C42F33BBF347E8DBDE96EC9BE83C76CBE');
INSERT INTO "embeddings" VALUES('embedder','599764428232def4b3c02857368dba1954e8c7442d7d01736be89ab10f09ee3a',X'E89489BEC9E91FBE1C1C503E59C4033FB7F781BD52B62C3F1427A8BEE6B6313E');
INSERT INTO "embeddings" VALUES('embedder','70ab0e125c71f19e7ba2becf744aa8d4d35ba7dca3c7a5d69db7447b6a65c3cc',X'7B8FF53E076B4C3DB314CABEAE85FABE27D178BEBC64EF3DA23409BFC569E3BD');
INSERT INTO "embeddings" VALUES('embedder','75263174bfd7b3425b7ead9c69d98145cd1505d5198eaf2d4a74254d432c955e',X'4FBCA7BD3D708E3EF421E23D052F3B3EA531ACBE9E8A88BD4078CE3E28A8443F');
INSERT INTO "embeddings" VALUES('embedder','cc6aa433b3d81833650243347a9150c38ce4c4c1b56539430b3feb8abb4572f3',X'10CDB6BEA8CDDB3E9F67C33EB5DF623E3E95993DA64FB6BDD8AFD33E884D0E3F');
CREATE TABLE evaluations (
	version VARCHAR NOT NULL, 
	"key" VARCHAR NOT NULL, 
	suite VARCHAR NOT NULL, 
	metric VARCHAR NOT NULL, 
	prompt_ids TEXT NOT NULL, 
	"values" TEXT NOT NULL, 
	families TEXT NOT NULL, 
	created VARCHAR NOT NULL, 
	CONSTRAINT pk_evaluations PRIMARY KEY (version, "key"), 
	CONSTRAINT fk_evaluations_version FOREIGN KEY(version) REFERENCES versions (id)
);
INSERT INTO "evaluations" VALUES('tttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttt','chart@conditions','chart','relaxed_accuracy','["0c8e29091727ccbfe73094fb3fa1769109a89744c6189f7529d5738308ac9c9a", "496ea1b06d8a62da24976c60c6ca43f2fafeb2741ddf11907e1a3c357d7ffa02", "599764428232def4b3c02857368dba1954e8c7442d7d01736be89ab10f09ee3a", "70ab0e125c71f19e7ba2becf744aa8d4d35ba7dca3c7a5d69db7447b6a65c3cc", "75263174bfd7b3425b7ead9c69d98145cd1505d5198eaf2d4a74254d432c955e", "cc6aa433b3d81833650243347a9150c38ce4c4c1b56539430b3feb8abb4572f3"]','[0.0, 1.0, 0.0, 1.0, 0.0, 1.0]','["read", "read", "read", "read", "read", "read"]','2026-11-30T14:02:58.239724+00:00');
INSERT INTO "evaluations" VALUES('ssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssss','chart@conditions','chart','relaxed_accuracy','["0c8e29091727ccbfe73094fb3fa1769109a89744c6189f7529d5738308ac9c9a", "496ea1b06d8a62da24976c60c6ca43f2fafeb2741ddf11907e1a3c357d7ffa02", "599764428232def4b3c02857368dba1954e8c7442d7d01736be89ab10f09ee3a", "70ab0e125c71f19e7ba2becf744aa8d4d35ba7dca3c7a5d69db7447b6a65c3cc", "75263174bfd7b3425b7ead9c69d98145cd1505d5198eaf2d4a74254d432c955e", "cc6aa433b3d81833650243347a9150c38ce4c4c1b56539430b3feb8abb4572f3"]','[0.0, 1.0, 0.0, 1.0, 0.0, 1.0]','["read", "read", "read", "read", "read", "read"]','2026-11-30T14:02:58.240412+00:00');
INSERT INTO "evaluations" VALUES('7c45878e54e8725b66f7aedb3d056f18689e7151132b019b56e5a8d979c9a08f','chart@conditions','chart','relaxed_accuracy','["0c8e29091727ccbfe73094fb3fa1769109a89744c6189f7529d5738308ac9c9a", "496ea1b06d8a62da24976c60c6ca43f2fafeb2741ddf11907e1a3c357d7ffa02", "599764428232def4b3c02857368dba1954e8c7442d7d01736be89ab10f09ee3a", "70ab0e125c71f19e7ba2becf744aa8d4d35ba7dca3c7a5d69db7447b6a65c3cc", "75263174bfd7b3425b7ead9c69d98145cd1505d5198eaf2d4a74254d432c955e", "cc6aa433b3d81833650243347a9150c38ce4c4c1b56539430b3feb8abb4572f3"]','[0.0, 1.0, 0.0, 1.0, 0.0, 1.0]','["read", "read", "read", "read", "read", "read"]','2026-11-30T14:02:58.240837+00:00');
INSERT INTO "evaluations" VALUES('ssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssss','chartqa@conditions','chartqa','relaxed_accuracy','["0c8e29091727ccbfe73094fb3fa1769109a89744c6189f7529d5738308ac9c9a", "496ea1b06d8a62da24976c60c6ca43f2fafeb2741ddf11907e1a3c357d7ffa02", "599764428232def4b3c02857368dba1954e8c7442d7d01736be89ab10f09ee3a", "70ab0e125c71f19e7ba2becf744aa8d4d35ba7dca3c7a5d69db7447b6a65c3cc", "75263174bfd7b3425b7ead9c69d98145cd1505d5198eaf2d4a74254d432c955e", "cc6aa433b3d81833650243347a9150c38ce4c4c1b56539430b3feb8abb4572f3"]','[0.0, 1.0, 0.0, 1.0, 0.0, 1.0]','["read", "read", "read", "read", "read", "read"]','2026-11-30T14:02:58.245177+00:00');
CREATE TABLE harness_scores (
	version VARCHAR NOT NULL, 
	"key" VARCHAR NOT NULL, 
	metric VARCHAR NOT NULL, 
	position INTEGER NOT NULL, 
	value FLOAT NOT NULL, 
	stderr FLOAT, 
	harness VARCHAR NOT NULL, 
	harness_version VARCHAR NOT NULL, 
	samples VARCHAR NOT NULL, 
	CONSTRAINT pk_harness_scores PRIMARY KEY (version, "key", metric), 
	CONSTRAINT fk_harness_scores_version_key FOREIGN KEY(version, "key") REFERENCES evaluations (version, "key")
);
INSERT INTO "harness_scores" VALUES('ssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssss','chartqa@conditions','relaxed_overall',0,0.5,0.19,'lmms-eval','0.7.3','3dd363ca8115dbf2ea527d3b08cf60dae71a801e68d708eb9071ab66101dc8ab');
INSERT INTO "harness_scores" VALUES('ssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssss','chartqa@conditions','anls',1,0.25,NULL,'lmms-eval','0.7.3','3dd363ca8115dbf2ea527d3b08cf60dae71a801e68d708eb9071ab66101dc8ab');
CREATE TABLE leases (
	campaign VARCHAR NOT NULL, 
	token BIGINT NOT NULL, 
	host VARCHAR NOT NULL, 
	pid BIGINT NOT NULL, 
	boot VARCHAR NOT NULL, 
	started VARCHAR NOT NULL, 
	since VARCHAR NOT NULL, 
	expires FLOAT NOT NULL, 
	CONSTRAINT pk_leases PRIMARY KEY (campaign)
);
CREATE TABLE orders (
	campaign VARCHAR NOT NULL, 
	"order" VARCHAR NOT NULL, 
	token BIGINT NOT NULL, 
	since VARCHAR NOT NULL, 
	CONSTRAINT pk_orders PRIMARY KEY (campaign)
);
INSERT INTO "orders" VALUES('demo','pause',0,'2026-11-30T14:02:58.265855+00:00');
CREATE TABLE plans (
	"key" VARCHAR NOT NULL, 
	batches TEXT NOT NULL, 
	CONSTRAINT pk_plans PRIMARY KEY ("key")
);
CREATE TABLE pool_prompts (
	pool VARCHAR NOT NULL, 
	prompt_id VARCHAR NOT NULL, 
	CONSTRAINT pk_pool_prompts PRIMARY KEY (pool, prompt_id), 
	CONSTRAINT fk_pool_prompts_prompt_id FOREIGN KEY(prompt_id) REFERENCES prompts (id)
);
INSERT INTO "pool_prompts" VALUES('pool','0c8e29091727ccbfe73094fb3fa1769109a89744c6189f7529d5738308ac9c9a');
INSERT INTO "pool_prompts" VALUES('pool','496ea1b06d8a62da24976c60c6ca43f2fafeb2741ddf11907e1a3c357d7ffa02');
INSERT INTO "pool_prompts" VALUES('pool','599764428232def4b3c02857368dba1954e8c7442d7d01736be89ab10f09ee3a');
INSERT INTO "pool_prompts" VALUES('pool','70ab0e125c71f19e7ba2becf744aa8d4d35ba7dca3c7a5d69db7447b6a65c3cc');
INSERT INTO "pool_prompts" VALUES('pool','75263174bfd7b3425b7ead9c69d98145cd1505d5198eaf2d4a74254d432c955e');
INSERT INTO "pool_prompts" VALUES('pool','cc6aa433b3d81833650243347a9150c38ce4c4c1b56539430b3feb8abb4572f3');
CREATE TABLE prompt_numbers (number INTEGER PRIMARY KEY, prompt_id VARCHAR NOT NULL UNIQUE);
INSERT INTO "prompt_numbers" VALUES(1,'0c8e29091727ccbfe73094fb3fa1769109a89744c6189f7529d5738308ac9c9a');
INSERT INTO "prompt_numbers" VALUES(2,'496ea1b06d8a62da24976c60c6ca43f2fafeb2741ddf11907e1a3c357d7ffa02');
INSERT INTO "prompt_numbers" VALUES(3,'599764428232def4b3c02857368dba1954e8c7442d7d01736be89ab10f09ee3a');
INSERT INTO "prompt_numbers" VALUES(4,'70ab0e125c71f19e7ba2becf744aa8d4d35ba7dca3c7a5d69db7447b6a65c3cc');
INSERT INTO "prompt_numbers" VALUES(5,'75263174bfd7b3425b7ead9c69d98145cd1505d5198eaf2d4a74254d432c955e');
INSERT INTO "prompt_numbers" VALUES(6,'cc6aa433b3d81833650243347a9150c38ce4c4c1b56539430b3feb8abb4572f3');
PRAGMA writable_schema=ON;
INSERT INTO sqlite_master(type,name,tbl_name,rootpage,sql)VALUES('table','prompt_words','prompt_words',0,'CREATE VIRTUAL TABLE prompt_words USING fts5(question, content='''', tokenize=''unicode61 remove_diacritics 0'')');
CREATE TABLE 'prompt_words_config'(k PRIMARY KEY, v) WITHOUT ROWID;
INSERT INTO "prompt_words_config" VALUES('version',4);
CREATE TABLE 'prompt_words_data'(id INTEGER PRIMARY KEY, block BLOB);
INSERT INTO "prompt_words_data" VALUES(1,X'060C');
INSERT INTO "prompt_words_data" VALUES(10,X'000000000106060006010101020101030101040101050101060101');
INSERT INTO "prompt_words_data" VALUES(137438953473,X'0000001702303301020301087175657374696F6E0102020406');
INSERT INTO "prompt_words_data" VALUES(274877906945,X'0000001702303202020301087175657374696F6E0202020406');
INSERT INTO "prompt_words_data" VALUES(412316860417,X'0000001702303503020301087175657374696F6E0302020406');
INSERT INTO "prompt_words_data" VALUES(549755813889,X'0000001702303004020301087175657374696F6E0402020406');
INSERT INTO "prompt_words_data" VALUES(687194767361,X'0000001702303105020301087175657374696F6E0502020406');
INSERT INTO "prompt_words_data" VALUES(824633720833,X'0000001702303406020301087175657374696F6E0602020406');
CREATE TABLE 'prompt_words_docsize'(id INTEGER PRIMARY KEY, sz BLOB);
INSERT INTO "prompt_words_docsize" VALUES(1,X'02');
INSERT INTO "prompt_words_docsize" VALUES(2,X'02');
INSERT INTO "prompt_words_docsize" VALUES(3,X'02');
INSERT INTO "prompt_words_docsize" VALUES(4,X'02');
INSERT INTO "prompt_words_docsize" VALUES(5,X'02');
INSERT INTO "prompt_words_docsize" VALUES(6,X'02');
CREATE TABLE 'prompt_words_idx'(segid, term, pgno, PRIMARY KEY(segid, term)) WITHOUT ROWID;
INSERT INTO "prompt_words_idx" VALUES(1,X'',2);
INSERT INTO "prompt_words_idx" VALUES(2,X'',2);
INSERT INTO "prompt_words_idx" VALUES(3,X'',2);
INSERT INTO "prompt_words_idx" VALUES(4,X'',2);
INSERT INTO "prompt_words_idx" VALUES(5,X'',2);
INSERT INTO "prompt_words_idx" VALUES(6,X'',2);
CREATE TABLE prompts (
	id VARCHAR NOT NULL, 
	question TEXT NOT NULL, 
	images TEXT NOT NULL, 
	origin VARCHAR NOT NULL, 
	parent VARCHAR, 
	attributes TEXT NOT NULL, 
	created VARCHAR NOT NULL, 
	CONSTRAINT pk_prompts PRIMARY KEY (id), 
	CONSTRAINT fk_prompts_parent FOREIGN KEY(parent) REFERENCES prompts (id) DEFERRABLE INITIALLY DEFERRED
);
INSERT INTO "prompts" VALUES('0c8e29091727ccbfe73094fb3fa1769109a89744c6189f7529d5738308ac9c9a','Question 3?','["a5df3fde7b200c3fa2791144c7e05c5c2bced4c6ad863d3a4cf76c972c1712f9"]','seed',NULL,'{}','2026-11-30T14:02:58.203161+00:00');
INSERT INTO "prompts" VALUES('496ea1b06d8a62da24976c60c6ca43f2fafeb2741ddf11907e1a3c357d7ffa02','Question 2?','["a5df3fde7b200c3fa2791144c7e05c5c2bced4c6ad863d3a4cf76c972c1712f9"]','seed',NULL,'{}','2026-11-30T14:02:58.206761+00:00');
INSERT INTO "prompts" VALUES('599764428232def4b3c02857368dba1954e8c7442d7d01736be89ab10f09ee3a','Question 5?','["a5df3fde7b200c3fa2791144c7e05c5c2bced4c6ad863d3a4cf76c972c1712f9"]','seed',NULL,'{}','2026-11-30T14:02:58.207303+00:00');
INSERT INTO "prompts" VALUES('70ab0e125c71f19e7ba2becf744aa8d4d35ba7dca3c7a5d69db7447b6a65c3cc','Question 0?','["a5df3fde7b200c3fa2791144c7e05c5c2bced4c6ad863d3a4cf76c972c1712f9"]','seed',NULL,'{}','2026-11-30T14:02:58.207577+00:00');
INSERT INTO "prompts" VALUES('75263174bfd7b3425b7ead9c69d98145cd1505d5198eaf2d4a74254d432c955e','Question 1?','["a5df3fde7b200c3fa2791144c7e05c5c2bced4c6ad863d3a4cf76c972c1712f9"]','seed',NULL,'{}','2026-11-30T14:02:58.207850+00:00');
INSERT INTO "prompts" VALUES('cc6aa433b3d81833650243347a9150c38ce4c4c1b56539430b3feb8abb4572f3','Question 4?','["a5df3fde7b200c3fa2791144c7e05c5c2bced4c6ad863d3a4cf76c972c1712f9"]','seed',NULL,'{}','2026-11-30T14:02:58.208113+00:00');
CREATE TABLE quarantine (
	id INTEGER NOT NULL, 
	pool VARCHAR NOT NULL, 
	source TEXT NOT NULL, 
	question TEXT NOT NULL, 
	reason TEXT NOT NULL, 
	CONSTRAINT pk_quarantine PRIMARY KEY (id), 
	CONSTRAINT uq_quarantine_pool_source UNIQUE (pool, source)
);
INSERT INTO "quarantine" VALUES(1,'pool','file:0','','empty question');
INSERT INTO "quarantine" VALUES(2,'pool','file:1','','empty question');
INSERT INTO "quarantine" VALUES(3,'pool','file:2','','empty question');
CREATE TABLE regions (
	campaign VARCHAR NOT NULL, 
	round INTEGER NOT NULL, 
	"index" INTEGER NOT NULL, 
	size INTEGER NOT NULL, 
	posterior_mean FLOAT NOT NULL, 
	posterior_variance FLOAT NOT NULL, 
	posterior_num FLOAT NOT NULL, 
	skills TEXT NOT NULL, 
	budget INTEGER NOT NULL, 
	seeds TEXT NOT NULL, 
	centroids VARCHAR NOT NULL, 
	CONSTRAINT pk_regions PRIMARY KEY (campaign, round, "index"), 
	CONSTRAINT fk_regions_campaign_round FOREIGN KEY(campaign, round) REFERENCES rounds (campaign, "index")
);
INSERT INTO "regions" VALUES('demo',1,0,3,0.0,0.01,12.5,'["count_over"]',0,'["0c8e29091727ccbfe73094fb3fa1769109a89744c6189f7529d5738308ac9c9a", "599764428232def4b3c02857368dba1954e8c7442d7d01736be89ab10f09ee3a", "75263174bfd7b3425b7ead9c69d98145cd1505d5198eaf2d4a74254d432c955e"]','43284f55d71eff18caed6ceb1bcc2e866c5fe2dfc28b92f5720cb3749ff078e1');
INSERT INTO "regions" VALUES('demo',1,1,3,0.1,0.01,12.5,'["count_over", "difference"]',10,'["496ea1b06d8a62da24976c60c6ca43f2fafeb2741ddf11907e1a3c357d7ffa02", "70ab0e125c71f19e7ba2becf744aa8d4d35ba7dca3c7a5d69db7447b6a65c3cc", "cc6aa433b3d81833650243347a9150c38ce4c4c1b56539430b3feb8abb4572f3"]','43284f55d71eff18caed6ceb1bcc2e866c5fe2dfc28b92f5720cb3749ff078e1');
CREATE TABLE rollouts (
	version VARCHAR NOT NULL, 
	sampling VARCHAR NOT NULL, 
	prompt_id VARCHAR NOT NULL, 
	"index" INTEGER NOT NULL, 
	seed BIGINT NOT NULL, 
	text TEXT NOT NULL, 
	status VARCHAR NOT NULL, 
	answer TEXT, 
	canonical TEXT, 
	num_tokens INTEGER NOT NULL, 
	CONSTRAINT pk_rollouts PRIMARY KEY (version, sampling, prompt_id, "index"), 
	CONSTRAINT fk_rollouts_prompt_id FOREIGN KEY(prompt_id) REFERENCES prompts (id), 
	CONSTRAINT fk_rollouts_version FOREIGN KEY(version) REFERENCES versions (id)
)
 WITHOUT ROWID

;
INSERT INTO "rollouts" VALUES('tttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttt','hot','0c8e29091727ccbfe73094fb3fa1769109a89744c6189f7529d5738308ac9c9a',0,7,'I see 12. Answer: 0','answered','1','1',9);
INSERT INTO "rollouts" VALUES('tttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttt','hot','0c8e29091727ccbfe73094fb3fa1769109a89744c6189f7529d5738308ac9c9a',1,8,'I see 12. Answer: 1','answered','1','1',9);
INSERT INTO "rollouts" VALUES('tttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttt','hot','496ea1b06d8a62da24976c60c6ca43f2fafeb2741ddf11907e1a3c357d7ffa02',0,7,'I see 12. Answer: 0','answered','1','1',9);
INSERT INTO "rollouts" VALUES('tttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttt','hot','496ea1b06d8a62da24976c60c6ca43f2fafeb2741ddf11907e1a3c357d7ffa02',1,8,'I see 12. Answer: 1','answered','1','1',9);
INSERT INTO "rollouts" VALUES('tttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttt','hot','599764428232def4b3c02857368dba1954e8c7442d7d01736be89ab10f09ee3a',0,7,'I see 12. Answer: 0','answered','1','1',9);
INSERT INTO "rollouts" VALUES('tttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttt','hot','599764428232def4b3c02857368dba1954e8c7442d7d01736be89ab10f09ee3a',1,8,'I see 12. Answer: 1','answered','1','1',9);
INSERT INTO "rollouts" VALUES('tttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttt','hot','70ab0e125c71f19e7ba2becf744aa8d4d35ba7dca3c7a5d69db7447b6a65c3cc',0,7,'I see 12. Answer: 0','answered','1','1',9);
INSERT INTO "rollouts" VALUES('tttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttt','hot','70ab0e125c71f19e7ba2becf744aa8d4d35ba7dca3c7a5d69db7447b6a65c3cc',1,8,'I see 12. Answer: 1','answered','1','1',9);
INSERT INTO "rollouts" VALUES('tttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttt','hot','75263174bfd7b3425b7ead9c69d98145cd1505d5198eaf2d4a74254d432c955e',0,7,'I see 12. Answer: 0','answered','1','1',9);
INSERT INTO "rollouts" VALUES('tttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttt','hot','75263174bfd7b3425b7ead9c69d98145cd1505d5198eaf2d4a74254d432c955e',1,8,'I see 12. Answer: 1','answered','1','1',9);
INSERT INTO "rollouts" VALUES('tttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttt','hot','cc6aa433b3d81833650243347a9150c38ce4c4c1b56539430b3feb8abb4572f3',0,7,'I see 12. Answer: 0','answered','1','1',9);
INSERT INTO "rollouts" VALUES('tttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttt','hot','cc6aa433b3d81833650243347a9150c38ce4c4c1b56539430b3feb8abb4572f3',1,8,'I see 12. Answer: 1','answered','1','1',9);
CREATE TABLE rounds (
	campaign VARCHAR NOT NULL, 
	"index" INTEGER NOT NULL, 
	status VARCHAR NOT NULL, 
	settings TEXT NOT NULL, 
	"commit" VARCHAR NOT NULL, 
	dirty BOOLEAN NOT NULL, 
	created VARCHAR NOT NULL, 
	CONSTRAINT pk_rounds PRIMARY KEY (campaign, "index"), 
	CONSTRAINT fk_rounds_campaign FOREIGN KEY(campaign) REFERENCES campaigns (name)
);
INSERT INTO "rounds" VALUES('demo',0,'running','{"seed":3}','abc',0,'2026-11-30T14:02:58.190170+00:00');
INSERT INTO "rounds" VALUES('demo',1,'running','{"seed":3}','abc',0,'2026-11-30T14:02:58.197877+00:00');
CREATE TABLE scores (
	campaign VARCHAR NOT NULL, 
	round INTEGER NOT NULL, 
	prompt_id VARCHAR NOT NULL, 
	student VARCHAR NOT NULL, 
	teacher VARCHAR NOT NULL, 
	delta FLOAT NOT NULL, 
	low FLOAT NOT NULL, 
	high FLOAT NOT NULL, 
	num_student INTEGER NOT NULL, 
	num_teacher INTEGER NOT NULL, 
	estimator VARCHAR NOT NULL, 
	settings TEXT NOT NULL, 
	zero_delta BOOLEAN NOT NULL, 
	consistency FLOAT NOT NULL, 
	student_agreement FLOAT NOT NULL, p_value FLOAT, differs BOOLEAN, noise_floor FLOAT, predicted BOOLEAN DEFAULT 0 NOT NULL, spread FLOAT, zero_probability FLOAT, 
	CONSTRAINT pk_scores PRIMARY KEY (campaign, round, prompt_id), 
	CONSTRAINT fk_scores_campaign_round FOREIGN KEY(campaign, round) REFERENCES rounds (campaign, "index"), 
	CONSTRAINT fk_scores_prompt_id FOREIGN KEY(prompt_id) REFERENCES prompts (id), 
	CONSTRAINT fk_scores_student FOREIGN KEY(student) REFERENCES versions (id), 
	CONSTRAINT fk_scores_teacher FOREIGN KEY(teacher) REFERENCES versions (id)
);
INSERT INTO "scores" VALUES('demo',1,'0c8e29091727ccbfe73094fb3fa1769109a89744c6189f7529d5738308ac9c9a','ssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssss','tttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttt',0.5,0.1,0.9,8,8,'plug_in','{"smoothing": 0.05}',0,0.875,0.25,NULL,NULL,NULL,0,NULL,NULL);
INSERT INTO "scores" VALUES('demo',1,'496ea1b06d8a62da24976c60c6ca43f2fafeb2741ddf11907e1a3c357d7ffa02','ssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssss','tttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttt',0.5,0.1,0.9,8,8,'plug_in','{"smoothing": 0.05}',0,0.875,0.25,NULL,NULL,NULL,0,NULL,NULL);
INSERT INTO "scores" VALUES('demo',1,'599764428232def4b3c02857368dba1954e8c7442d7d01736be89ab10f09ee3a','ssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssss','tttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttt',0.5,0.1,0.9,8,8,'plug_in','{"smoothing": 0.05}',0,0.875,0.25,NULL,NULL,NULL,0,NULL,NULL);
INSERT INTO "scores" VALUES('demo',1,'70ab0e125c71f19e7ba2becf744aa8d4d35ba7dca3c7a5d69db7447b6a65c3cc','ssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssss','tttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttt',0.5,0.1,0.9,8,8,'plug_in','{"smoothing": 0.05}',0,0.875,0.25,NULL,NULL,NULL,0,NULL,NULL);
INSERT INTO "scores" VALUES('demo',1,'75263174bfd7b3425b7ead9c69d98145cd1505d5198eaf2d4a74254d432c955e','ssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssss','tttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttt',0.5,0.1,0.9,8,8,'plug_in','{"smoothing": 0.05}',0,0.875,0.25,NULL,NULL,NULL,0,NULL,NULL);
INSERT INTO "scores" VALUES('demo',1,'cc6aa433b3d81833650243347a9150c38ce4c4c1b56539430b3feb8abb4572f3','ssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssss','tttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttt',0.5,0.1,0.9,8,8,'plug_in','{"smoothing": 0.05}',0,0.875,0.25,NULL,NULL,NULL,0,NULL,NULL);
CREATE TABLE stages (
	campaign VARCHAR NOT NULL, 
	round INTEGER NOT NULL, 
	name VARCHAR NOT NULL, 
	position INTEGER NOT NULL, 
	status VARCHAR NOT NULL, 
	seconds FLOAT NOT NULL, 
	attempts INTEGER NOT NULL, 
	inputs TEXT NOT NULL, 
	output VARCHAR, 
	error TEXT, 
	CONSTRAINT pk_stages PRIMARY KEY (campaign, round, name), 
	CONSTRAINT fk_stages_campaign_round FOREIGN KEY(campaign, round) REFERENCES rounds (campaign, "index")
);
INSERT INTO "stages" VALUES('demo',1,'score',0,'completed',1.5,1,'{"work": "1111111111111111111111111111111111111111111111111111111111111111"}','34d1823b5f94aad0f8106aede0b74f33eb2ab7306f06f2a844e4de1454eae1a0',NULL);
INSERT INTO "stages" VALUES('demo',1,'target',1,'completed',1.5,1,'{"work": "1111111111111111111111111111111111111111111111111111111111111111"}','34d1823b5f94aad0f8106aede0b74f33eb2ab7306f06f2a844e4de1454eae1a0',NULL);
CREATE TABLE versions (
	id VARCHAR NOT NULL, 
	role VARCHAR NOT NULL, 
	source TEXT NOT NULL, 
	parent VARCHAR, 
	campaign VARCHAR, 
	round INTEGER, 
	created VARCHAR NOT NULL, 
	CONSTRAINT pk_versions PRIMARY KEY (id), 
	CONSTRAINT fk_versions_campaign_round FOREIGN KEY(campaign, round) REFERENCES rounds (campaign, "index"), 
	CONSTRAINT fk_versions_parent FOREIGN KEY(parent) REFERENCES versions (id)
);
INSERT INTO "versions" VALUES('tttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttt','teacher','embedded:teacher',NULL,NULL,NULL,'2026-11-30T14:02:58.162845+00:00');
INSERT INTO "versions" VALUES('ssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssss','student','embedded:student',NULL,NULL,NULL,'2026-11-30T14:02:58.163553+00:00');
INSERT INTO "versions" VALUES('7c45878e54e8725b66f7aedb3d056f18689e7151132b019b56e5a8d979c9a08f','student','checkpoint:7c45878e54e8725b66f7aedb3d056f18689e7151132b019b56e5a8d979c9a08f','ssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssss','demo',1,'2026-11-30T14:02:58.239158+00:00');
CREATE INDEX ix_prompts_parent ON prompts (parent);
CREATE INDEX ix_pool_prompts_prompt_id ON pool_prompts (prompt_id);
CREATE INDEX ix_versions_campaign_round ON versions (campaign, round);
CREATE INDEX ix_scores_prompt_id ON scores (prompt_id);
CREATE INDEX ix_candidates_prompt_id ON candidates (prompt_id);
CREATE TRIGGER prompt_is_searchable AFTER INSERT ON prompts BEGIN INSERT INTO prompt_numbers (prompt_id) VALUES (new.id); INSERT INTO prompt_words (rowid, question) SELECT number, new.question FROM prompt_numbers WHERE prompt_id = new.id; END;
PRAGMA writable_schema=OFF;
COMMIT;
