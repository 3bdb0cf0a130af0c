package sqlite

import (
	_ "embed"

	"github.com/symphony-messenger/symphony/internal/search"
)

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
	//go:embed query/letters.sql
	sqlLetters string
	//go:embed query/record_history.sql
	sqlRecordHistory string
	//go:embed query/oldest.sql
	sqlOldest string
	//go:embed query/revive.sql
	sqlRevive string
	//go:embed query/schedules_due.sql
	sqlSchedulesDue string
	//go:embed query/schedules_next.sql
	sqlSchedulesNext string
	//go:embed query/schedules_of.sql
	sqlSchedulesOf string
	//go:embed query/schedules_list.sql
	sqlSchedulesList string
	//go:embed query/schedules_write.sql
	sqlSchedulesWrite string
	//go:embed query/schedules_advance.sql
	sqlSchedulesAdvance string
	//go:embed query/ticks_trim.sql
	sqlTicksTrim string
	//go:embed query/ticks_list.sql
	sqlTicksList string
	//go:embed query/list.sql
	sqlList string
	//go:embed query/reschedule.sql
	sqlReschedule string
	//go:embed query/set_aside.sql
	sqlSetAside string
	//go:embed query/bring_back.sql
	sqlBringBack string
	//go:embed query/resumed.sql
	sqlResumed string
	//go:embed query/pause.sql
	sqlPause string
	//go:embed query/workers.sql
	sqlWorkers string
	//go:embed query/save_bulk.sql
	sqlSaveBulk string
	//go:embed query/abort_bulk.sql
	sqlAbortBulk string
	//go:embed query/failed_groups.sql
	sqlFailedGroups string
	//go:embed query/record_dead.sql
	sqlRecordDead string
	//go:embed query/replace.sql
	sqlReplace string
	//go:embed query/hand_over.sql
	sqlHandOver string
	//go:embed query/minute.sql
	sqlMinute string
)

var sqlListOldest = search.Oldest(sqlList)
