package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/app"
	"github.com/symphony-messenger/symphony/app/config"
	"github.com/symphony-messenger/symphony/internal/nearest"
)

// configure reads the configuration, with the flags of the command as the first of its sources. fallback is the
// DSN when there is no other; without one it is a usage error that there is none.
func (s *session) configure(fallback string, flags ...config.Flag) (*config.Config, error) {
	file := config.FindFile(s.configFile, os.LookupEnv)
	c, err := config.Load(config.Sources{File: file, Flags: flags, DSN: s.dsn, Fallback: fallback})
	if err != nil {
		return nil, err
	}
	s.config = c
	s.setLog(c.Log)
	if len(c.Transports) == 0 {
		return nil, s.usage("give `--dsn sqlite://queue.db` or `--dsn postgres://user@host/database`, or set SYMPHONY_DSN or DATABASE_URL",
			"which store? There is no DSN")
	}
	if s.transport != "" && s.dsn != "" {
		return nil, s.usage("give one of them", "--transport and --dsn both say which store")
	}
	t, ok := c.Find(cmp.Or(s.transport, c.Transport))
	if !ok {
		return nil, s.unknownTransport(s.transport)
	}
	s.store, s.dsnFrom = t.DSN, t.From.Variable
	return c, nil
}

func (s *session) unknownTransport(name string) error {
	var known []string
	for _, t := range s.config.Transports {
		known = append(known, t.Name)
	}
	hint := "known are " + strings.Join(known, ", ")
	if near, ok := nearest.To(name, known); ok {
		hint = "did you mean " + near + "?"
	}
	return s.usage(hint, "there is no transport %.100q", name)
}

// shared returns the transport that the flags choose, for commands that make no sense on what only this process sees.
func (s *session) shared(c *config.Config) (config.Transport, error) {
	t, _ := c.Find(cmp.Or(s.transport, c.Transport))
	return t, s.mustBeShared(t)
}

// target reads the configuration and returns it with the transport that the flags choose, which others must be able to see.
func (s *session) target() (*config.Config, config.Transport, error) {
	c, err := s.configure("")
	if err != nil {
		return nil, config.Transport{}, err
	}
	t, err := s.shared(c)
	return c, t, err
}

// targets are the transports that a command about stores is for: the one that the flags choose, or all that are shared.
func (s *session) targets(c *config.Config) ([]config.Transport, error) {
	chosen, err := s.shared(c)
	if err != nil || s.transport != "" || s.dsn != "" {
		return []config.Transport{chosen}, err
	}
	return slices.DeleteFunc(slices.Clone(c.Transports), func(t config.Transport) bool { return s.mustBeShared(t) != nil }), nil
}

func (s *session) mustBeShared(t config.Transport) error {
	if scheme, _, _ := strings.Cut(t.DSN, "://"); scheme == "memory" || scheme == "sync" {
		return s.usage("use sqlite:// with a file, or postgres://; `"+s.opts.Name+" dev` runs on memory://",
			"%s:// keeps nothing that another process could see", scheme)
	}
	return nil
}

// withStore opens the store, runs fn and closes the store.
func (s *session) withStore(ctx context.Context, fn func(symphony.Transport) error) (err error) {
	_, chosen, err := s.target()
	if err != nil {
		return err
	}
	t, err := s.open(ctx, chosen)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, app.Close(t)) }()
	return fn(t)
}

// open opens the store of a transport. Advice about errors is then about its DSN.
func (s *session) open(ctx context.Context, t config.Transport) (symphony.Transport, error) {
	s.store, s.dsnFrom = t.DSN, t.From.Variable
	opened, err := app.Store{DSN: t.DSN, Name: t.Name, History: t.History, Retention: t.Retention, Logger: s.log}.Open(ctx)
	if err != nil && t.From.Line > 0 {
		return nil, fmt.Errorf("%s: transport %s: %w", t.From, t.Name, err)
	}
	return opened, err
}

// withPower is withStore for an optional interface of transports.
func withPower[T any](ctx context.Context, s *session, what string, fn func(T) error) error {
	return s.withStore(ctx, func(t symphony.Transport) error {
		power, ok := symphony.As[T](t)
		if !ok {
			return s.usage("", "this store cannot %s: %w", what, symphony.ErrUnsupported)
		}
		return fn(power)
	})
}
