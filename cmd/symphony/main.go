// Command symphony dispatches messages, handles them with programs, and looks at and repairs them.
// Run "symphony dev" to try it out, and "symphony help" for the rest.
package main

import (
	"github.com/symphony-messenger/symphony/app"
	"github.com/symphony-messenger/symphony/cli"
)

func main() { cli.Main(app.Options{Name: "symphony"}) }
