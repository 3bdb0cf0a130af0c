package postgres

import (
	"context"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/symphony-messenger/symphony"
)

func replaces(envs []*symphony.Envelope) bool {
	return slices.ContainsFunc(envs, func(env *symphony.Envelope) bool { return env.WhenTaken != symphony.KeepFirst })
}

// acceptAll is accept in a transaction of ours, for envelopes that may take several statements.
func (t *Transport) acceptAll(ctx context.Context, envs []*symphony.Envelope) (rs []symphony.Receipt, err error) {
	err = pgx.BeginFunc(ctx, t.sending, func(tx pgx.Tx) error {
		rs, err = t.accept(ctx, native{tx}, envs)
		return err
	})
	return rs, err
}

// replaceTries bounds how often a send goes after a key that passes from one message to the next.
const replaceTries = 20

// replace does what copies want with those that have taken their keys, and returns for which of them that has been done. What can be stored now is
// stored, and is not taken any more.
func (t *Transport) replace(ctx context.Context, ex executor, copies []*symphony.Envelope, taken map[int]symphony.ID) (replaced map[int]bool, err error) {
	replaced = make(map[int]bool)
	var open []int // numbers of copies
	for i := range taken {
		if copies[i].WhenTaken != symphony.KeepFirst {
			open = append(open, i)
		}
	}
	slices.Sort(open)
	for range replaceTries { // others may take the keys meanwhile
		if len(open) == 0 {
			break
		}
		var again []int
		if again, err = t.replaceSome(ctx, ex, copies, open, taken); err != nil {
			return nil, err
		}
		for _, i := range open {
			replaced[i] = !slices.Contains(again, i)
		}
		if open = again; len(again) == 0 {
			break
		}
		some := make([]*symphony.Envelope, len(again))
		for n, i := range again {
			some[n] = copies[i]
		}
		still, err := t.acceptCopies(ctx, ex, some, nil)
		if err != nil {
			return nil, err
		}
		open = nil
		for n, i := range again {
			holder, ok := still[n]
			if !ok {
				delete(taken, i)
			} else if holder != taken[i] {
				taken[i] = holder
				open = append(open, i)
			}
		}
	}
	return replaced, nil
}

// replaceSome returns those of copies, by their numbers, whose keys may be free now.
func (t *Transport) replaceSome(ctx context.Context, ex executor, copies []*symphony.Envelope, of []int, taken map[int]symphony.ID) (again []int, err error) {
	some := make([]*symphony.Envelope, len(of))
	holders, actions := make([][16]byte, len(of)), make([]string, len(of))
	for n, i := range of {
		some[n], holders[n], actions[n] = copies[i], taken[i], string(copies[i].WhenTaken)
	}
	c, err := newColumns(some)
	if err != nil {
		return nil, err
	}
	args := []any{holders, actions, c.ats, c.delays, c.priorities, c.retries, c.headers, c.tags, c.versions, c.contents, c.bodies}
	err = ex.query(ctx, t.sql.replace, args, func(scan scanner) error {
		var n int
		var fate string
		err := scan(&n, &fate)
		if fate != "replaced" {
			again = append(again, of[n-1])
		}
		return err
	})
	return again, err
}
