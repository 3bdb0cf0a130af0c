package cli

import (
	"bufio"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/monitor"
)

// chunk is how many dead letters are read or changed in one call of the store.
const chunk = 500

// find returns the ids of all that c chooses. They are all found before any is changed: a message that
// fails again meanwhile is not taken twice.
func (c *letterChoice) find(ctx context.Context, s *session, d monitor.DeadLetters) (ids []symphony.ID, err error) {
	f := c.filter()
	p := s.progress("dead letters")
	defer p.end()
	for {
		f.Limit = chunk
		if c.limit > 0 {
			f.Limit = min(chunk, int(c.limit)-len(ids))
		}
		if f.Limit == 0 {
			return ids, nil
		}
		page, err := d.Failed(ctx, f)
		if err != nil {
			return nil, err
		}
		p.add(int64(page.Read), 0)
		for _, r := range page.Records {
			ids = append(ids, r.ID)
		}
		if f.Cursor = page.Cursor; f.Cursor == "" {
			return ids, nil
		}
	}
}

// work changes dead letters, with one error for each.
type work func(context.Context, []symphony.ID) ([]error, error)

// A repair is a command that changes many dead letters.
type repair struct {
	verb, done, short, long string
	destroys                bool // ask even for those that were named one by one
	do                      func(monitor.DeadLetters) work

	choice      letterChoice
	yes, dryRun bool
}

func (s *session) repair(use string, r repair) *cobra.Command {
	c := &cobra.Command{
		Use: use, Short: r.short, Long: r.long, Args: s.arguments(0, -1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ids, err := s.parseIDs(args)
			if err != nil {
				return err
			}
			if (len(ids) > 0) == r.choice.chooses() {
				return s.usage("give ids, or filters such as --type, or --all", "which dead letters? There must be ids or a choice, not both")
			}
			return withPower(cmd.Context(), s, r.verb+" dead letters", func(d monitor.DeadLetters) error {
				return s.runRepair(cmd.Context(), &r, d, ids)
			})
		},
	}
	r.choice.flags(c)
	f := c.Flags()
	f.BoolVar(&r.choice.all, "all", false, "all dead letters")
	f.BoolVarP(&r.yes, "yes", "y", false, "do not ask")
	f.BoolVar(&r.dryRun, "dry-run", false, "say which ones, and change nothing")
	return c
}

func (s *session) parseIDs(args []string) ([]symphony.ID, error) {
	ids := make([]symphony.ID, len(args))
	for i, arg := range args {
		var err error
		if ids[i], err = symphony.ParseID(arg); err != nil {
			return nil, err
		}
	}
	return ids, nil
}

func (s *session) runRepair(ctx context.Context, r *repair, d monitor.DeadLetters, ids []symphony.ID) (err error) {
	named := len(ids) > 0
	if !named {
		if ids, err = r.choice.find(ctx, s, d); err != nil {
			return err
		}
	}
	if len(ids) == 0 && s.output == formatTable {
		s.note("no dead letter matches")
		return nil
	}
	if len(ids) > 0 && !r.dryRun && !r.yes && (r.destroys || !named) {
		if err := s.confirm(fmt.Sprintf("%s %d dead letter%s", r.verb, len(ids), plural(len(ids)))); err != nil {
			return err
		}
	}
	out, errs := parts[result]{s: s, rows: resultTable}, make([]error, 0, len(ids))
	p := s.progress("dead letters")
	for from := 0; from < len(ids) && err == nil; from += chunk {
		part := ids[from:min(from+chunk, len(ids))]
		said := make([]error, len(part))
		word := "would be " + r.done
		switch {
		case !r.dryRun:
			word = r.done
			if said, err = r.do(d)(ctx, part); err != nil {
				err = fmt.Errorf("%s dead letters, %d of %d done: %w", r.verb, from, len(ids), err)
			}
		case named:
			said, err = areFailed(ctx, d, part)
		}
		if err != nil {
			break
		}
		results := make([]result, len(part))
		for i, id := range part {
			results[i] = s.result(id, word, said[i])
		}
		errs = append(errs, said...)
		p.end()
		if err := out.add(results); err != nil {
			return err
		}
		p.set(int64(len(errs)), int64(len(ids)))
	}
	p.end()
	if err := out.end(); err != nil {
		return err
	}
	if err != nil {
		if len(errs) > 0 {
			return &failure{ExitPartial, "", err}
		}
		return err
	}
	return s.outcome(r.done, errs)
}

// areFailed returns for each id nil when it is that of a dead letter.
func areFailed(ctx context.Context, d monitor.DeadLetters, ids []symphony.ID) ([]error, error) {
	page, err := d.Failed(ctx, monitor.Filter{IDs: ids, Limit: len(ids)})
	if err != nil {
		return nil, err
	}
	said := make([]error, len(ids))
	for i, id := range ids {
		if !slices.ContainsFunc(page.Records, func(r monitor.Record) bool { return r.ID == id }) {
			said[i] = fmt.Errorf("dead letter %s: %w", id, monitor.ErrNotFound)
		}
	}
	return said, nil
}

func (s *session) result(id symphony.ID, word string, err error) result {
	if err == nil {
		return result{ID: id, Result: word}
	}
	word = "error"
	switch code, _ := s.judge(err); code {
	case ExitNotFound:
		word = "not found"
	case ExitConflict:
		word = "key taken"
	}
	return result{ID: id, Result: word, Error: explain(err)}
}

// confirm asks on the terminal; where there is nobody to ask, it refuses.
func (s *session) confirm(what string) error {
	if !isTerminal(s.std.In) {
		return s.usage("say --yes, or look first with --dry-run", "would %s, and there is no terminal to ask", what)
	}
	fmt.Fprintf(s.std.Err, "%s? [y/N] ", what)
	answer, _ := bufio.NewReader(s.std.In).ReadString('\n') // the end of the input is no yes
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	return &failure{ExitFailure, "", fmt.Errorf("did not %s", what)}
}

func plural(n int) string {
	if n == 1 {
		return ""
	}
	return "s"
}
