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
	SQL     string    `json:"-"`                   // empty for a step of a later release
}

// A Migrator sets up a store's schema and brings it up to date. Steps go forward only, and the
// release before still runs on the schema of this one, unless the changelog says otherwise: then the
// store refuses it with errors that match symphony.ErrSchemaTooNew.
type Migrator interface {
	// Migrate applies what is pending, each step in a transaction of its own, and returns it. Any
	// number of processes may do so at once. It returns an error that matches symphony.ErrSchemaTooNew
	// for a schema that this release must not touch.
	Migrate(ctx context.Context) ([]Migration, error)
	// Migrations lists all steps in order, applied and pending, and those of later releases that the schema has.
	Migrations(ctx context.Context) ([]Migration, error)
}

// A Scripter has SQL for those who set a store up with tools of their own, beyond the steps of a [Migrator]. It connects to nothing.
type Scripter interface {
	// RolesSQL makes the roles of the store, and gives them their rights. It may be executed again.
	RolesSQL() string
	// SupabaseSQL is one migration for the command line of Supabase: all steps after a version, and the roles.
	SupabaseSQL(after int) (string, error)
}
