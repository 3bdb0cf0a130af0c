package sqlite

import _ "embed"

// The statements that are more than a line. Each is prepared on the migrated schema by a test.
var (
	//go:embed query/insert.sql
	sqlInsert string
	//go:embed query/claim.sql
	sqlClaim string
	//go:embed query/claim_except.sql
	sqlClaimExcept string
	//go:embed query/due.sql
	sqlDue string
	//go:embed query/promote.sql
	sqlPromote string
	//go:embed query/held.sql
	sqlHeld string
	//go:embed query/history.sql
	sqlHistory string
	//go:embed query/again.sql
	sqlAgain string
	//go:embed query/fail.sql
	sqlFail string
	//go:embed query/key.sql
	sqlKey string
	//go:embed query/count.sql
	sqlCount string
	//go:embed query/sweep.sql
	sqlSweep string
	//go:embed query/peek.sql
	sqlPeek string
	//go:embed query/worker.sql
	sqlWorker string
	//go:embed query/subscribe.sql
	sqlSubscribe string
	//go:embed query/record_live.sql
	sqlRecordLive string
	//go:embed query/record_failed.sql
	sqlRecordFailed string
	//go:embed query/record_history.sql
	sqlRecordHistory string
	//go:embed query/oldest.sql
	sqlOldest string
	//go:embed query/revive.sql
	sqlRevive string
)
