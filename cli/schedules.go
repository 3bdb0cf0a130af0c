package cli

import (
	_ "time/tzdata" // for machines without time zones, such as containers with nothing but the program

	"github.com/spf13/cobra"
)

func (s *session) schedules() *cobra.Command {
	c := s.group("schedules", "Look at schedules", "", s.schedulesNext())
	c.Aliases = []string{"debug:scheduler"}
	return c
}
