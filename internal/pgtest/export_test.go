package pgtest

// Drop is what DSN and Database do when the test ends.
var Drop = drop

// WithoutMain asks for a server where Main does not run.
func WithoutMain() error {
	_, err := (&shared{}).get()
	return err
}
