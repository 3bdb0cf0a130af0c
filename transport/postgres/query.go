package postgres

import (
	"embed"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/symphony-messenger/symphony/internal/search"
)

//go:generate sh -c "env -u SYMPHONY_DSN -u DATABASE_URL go run ../../cmd/symphony migrate sql --supabase > ../../supabase/migrations/20261124000000_symphony.sql"

// Each statement stands in a file of its own, and is prepared on the migrated schema by a test. There and in the
// migrations "symphony." is the schema, whatever it is called.
var (
	//go:embed query/*.sql
	queryFiles embed.FS
	//go:embed schema/*.sql
	schemaFiles embed.FS
	//go:embed rights/rights.sql
	rightsText string
	//go:embed rights/roles.sql
	rolesText string
)

// A dialect is the statements for one schema.
type dialect struct {
	schema  string
	release release
	check, insert, accept, subscriptions, subscribe, ended,
	claim, look, done, doneHistory, settle, there, renew, orphans, leave, tell,
	counts, oldest, recordLive, letters, recordHistory,
	revive, keepKeys, discard, expire, dropKeys, fold, behind, turn, lockFailed,
	sweep, promote, advance, partition, cancel,
	examineServer, examineRights, examineTables, examineHolders, examineSubscriptions,
	schedulesPeek, schedulesDue, schedulesLock, schedulesFind, schedulesList, schedulesAdvance, schedulesCreate, schedulesReplace,
	schedulesRemove, schedulesCancel, ticksRecord, ticksTrim, ticksList string
	list, listOldest, lockLive, end, mark, reschedule, prioritize, edit,
	pause, resume, pauses, pausing, setAside, bringBack, resumed, workers,
	subscribers, unsubscribe, addMinutes, minutes, dropMinutes, saveBulk, bulks, abortBulk,
	dropBulks, present, replace, recordDead, failedGroups string
}

func newDialect(schema string) (*dialect, error) {
	d := &dialect{schema: schema, release: release{schemaFiles, oldestCompatible}}
	for name, into := range map[string]*string{
		"check": &d.check, "insert": &d.insert, "accept": &d.accept, "subscriptions": &d.subscriptions, "subscribe": &d.subscribe, "ended": &d.ended,
		"claim": &d.claim, "look": &d.look, "done": &d.done, "done_history": &d.doneHistory, "settle": &d.settle, "there": &d.there,
		"renew": &d.renew, "orphans": &d.orphans, "leave": &d.leave, "tell": &d.tell, "counts": &d.counts, "oldest": &d.oldest, "record_live": &d.recordLive, "letters": &d.letters,
		"record_history": &d.recordHistory, "revive": &d.revive, "keep_keys": &d.keepKeys, "discard": &d.discard, "expire": &d.expire,
		"drop_keys": &d.dropKeys, "fold": &d.fold, "behind": &d.behind, "turn": &d.turn, "lock_failed": &d.lockFailed,
		"examine_server": &d.examineServer, "examine_rights": &d.examineRights, "examine_tables": &d.examineTables, "examine_holders": &d.examineHolders, "examine_subscriptions": &d.examineSubscriptions,
		"sweep": &d.sweep, "promote": &d.promote, "advance": &d.advance, "partition": &d.partition, "cancel": &d.cancel,
		"schedules_peek": &d.schedulesPeek, "schedules_due": &d.schedulesDue, "schedules_lock": &d.schedulesLock, "schedules_find": &d.schedulesFind,
		"schedules_list": &d.schedulesList, "schedules_advance": &d.schedulesAdvance, "schedules_create": &d.schedulesCreate,
		"schedules_replace": &d.schedulesReplace, "schedules_remove": &d.schedulesRemove, "schedules_cancel": &d.schedulesCancel,
		"ticks_record": &d.ticksRecord, "ticks_trim": &d.ticksTrim, "ticks_list": &d.ticksList,
		"list": &d.list, "lock_live": &d.lockLive, "end": &d.end, "mark": &d.mark,
		"reschedule": &d.reschedule, "prioritize": &d.prioritize, "edit": &d.edit, "pause": &d.pause, "resume": &d.resume,
		"pauses": &d.pauses, "pausing": &d.pausing, "set_aside": &d.setAside, "bring_back": &d.bringBack, "resumed": &d.resumed,
		"workers": &d.workers, "subscribers": &d.subscribers, "unsubscribe": &d.unsubscribe, "add_minutes": &d.addMinutes, "minutes": &d.minutes,
		"drop_minutes": &d.dropMinutes, "save_bulk": &d.saveBulk, "bulks": &d.bulks, "abort_bulk": &d.abortBulk, "drop_bulks": &d.dropBulks,
		"present": &d.present, "replace": &d.replace, "record_dead": &d.recordDead, "failed_groups": &d.failedGroups,
	} {
		text, err := fs.ReadFile(queryFiles, path.Join("query", name+".sql"))
		if err != nil {
			return nil, fmt.Errorf("statement %s: %w", name, err)
		}
		*into = d.in(string(text))
	}
	d.listOldest = search.Oldest(d.list)
	return d, nil
}

// in puts the schema into a statement. It is no regular expression: one takes longer over the migrations than the server takes to apply them
// when the race detector watches it.
func (d *dialect) in(text string) string {
	if d.schema == defaultSchema {
		return text
	}
	const written = defaultSchema + "."
	schema := pgx.Identifier{d.schema}.Sanitize() + "."
	var b strings.Builder
	parts := strings.Split(text, written)
	b.WriteString(parts[0])
	for i, after := range parts[1:] {
		if qualifies(parts[i], after) {
			b.WriteString(schema)
		} else {
			b.WriteString(written)
		}
		b.WriteString(after)
	}
	return b.String()
}

// qualifies reports whether the word "symphony." between two texts is the schema of a name, and no longer word and no end of a sentence in a
// comment. The name may come from a format, with %.
func qualifies(before, after string) bool {
	if after == "" || after[0] != '%' && (after[0] < 'a' || after[0] > 'z') {
		return false
	}
	return before == "" || !strings.ContainsRune("_0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", rune(before[len(before)-1]))
}

// channel is the name on which workers are told of new messages: that in schema/0003_api.sql.
func (d *dialect) channel() string { return d.in("symphony.wake") }
