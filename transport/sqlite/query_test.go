package sqlite

import (
	"embed"
	"io/fs"
	"strings"
	"testing"
)

//go:embed query/*.sql
var queryFiles embed.FS

// TestQueriesPrepare prepares every statement file on the migrated schema, so that a misspelt column
// is found here and not by the one user who takes that path.
func TestQueriesPrepare(t *testing.T) {
	store := openTest(t, nil)
	files, err := fs.Glob(queryFiles, "query/*.sql")
	if err != nil || len(files) < 15 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		text, err := queryFiles.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		query := string(text)
		if query == sqlInsert {
			query = insertMany()
		}
		s, err := store.db.PrepareContext(t.Context(), query)
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		s.Close()
	}
}

// TestPlans looks at the plans of the statements on the hot path: none may scan a table or sort.
func TestPlans(t *testing.T) {
	store := openTest(t, nil)
	for _, c := range []struct{ name, query, want string }{
		{"claim", sqlClaim, "messenger_messages_ready (queue_name=?)"},
		{"claim except", sqlClaimExcept, "messenger_messages_ready (queue_name=?)"},
		{"due", sqlDue, "messenger_messages_due (available_at<?)"},
		{"held", sqlHeld, "INTEGER PRIMARY KEY (rowid=?)"},
		{"history", sqlHistory, "INTEGER PRIMARY KEY (rowid=?)"},
		{"promote", sqlPromote, "INTEGER PRIMARY KEY (rowid=?)"},
		{"sweep", sqlSweep, "messenger_messages_locked (locked_by=?)"},
		{"peek", sqlPeek, "messenger_messages_ready (queue_name=?)"},
		{"oldest", sqlOldest, "messenger_messages_ready (queue_name=? AND priority=?)"},
		{"schedules due", sqlSchedulesDue, "messenger_schedules USING INDEX messenger_schedules_next (next_run_at<?)"},
		{"schedules next", sqlSchedulesNext, "messenger_schedules USING INDEX messenger_schedules_next (next_run_at>?)"},
		{"ticks trim", sqlTicksTrim, "messenger_ticks USING PRIMARY KEY (schedule_name=? AND tick_at<?)"},
	} {
		args := make([]any, strings.Count(c.query, "?"))
		for i := range args {
			args[i] = "1"
		}
		n := 0
		for strings.Contains(c.query, "?"+string(rune('1'+n))) {
			n++
		}
		rows, err := store.db.QueryContext(t.Context(), "explain query plan "+c.query, args[:n]...)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		var plan []string
		for rows.Next() {
			var id, parent, unused int
			var detail string
			if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
				t.Fatal(err)
			}
			plan = append(plan, detail)
		}
		rows.Close()
		text := strings.Join(plan, "\n")
		if !strings.Contains(text, c.want) || strings.Contains(text, "SCAN messenger_messages") || strings.Contains(text, "SCAN m\n") ||
			strings.Contains(text, "TEMP B-TREE FOR ORDER BY") {
			t.Errorf("%s: plan\n%s\nmust use %s, without a scan or a sort", c.name, text, c.want)
		}
	}
}
