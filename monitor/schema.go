package monitor

import (
	"context"
	"time"
)

// A Migration is one step of a store's schema.
type Migration struct {
	Version int       `json:"version"`
	Name    string    `json:"name"`
	Applied time.Time `json:"applied_at,omitzero"` // zero: pending
	SQL     string    `json:"-"`
}

// A Migrator sets up a store's schema and brings it up to date. Steps go forward only, and the
// release before still runs on the schema of this one.
type Migrator interface {
	// Migrate applies what is pending, each step in a transaction of its own, and returns it. Any
	// number of processes may do so at once. It returns an error that matches symphony.ErrSchemaTooNew
	// for a schema that this release must not touch.
	Migrate(ctx context.Context) ([]Migration, error)
	// Migrations lists all steps in order, applied and pending.
	Migrations(ctx context.Context) ([]Migration, error)
}
