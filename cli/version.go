package cli

import (
	"cmp"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

func (s *session) version() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version of the program",
		Args:  s.arguments(0, 0),
		RunE: func(*cobra.Command, []string) error {
			v := struct {
				Name     string `json:"name"`
				Version  string `json:"version"`
				Revision string `json:"revision,omitempty"`
				Go       string `json:"go"`
				Platform string `json:"platform"`
			}{Name: s.opts.Name, Version: s.opts.Version, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
			if info, ok := debug.ReadBuildInfo(); ok {
				v.Version = cmp.Or(v.Version, info.Main.Version)
				for _, set := range info.Settings {
					if set.Key == "vcs.revision" {
						v.Revision = set.Value
					}
				}
			}
			v.Version = cmp.Or(v.Version, "(devel)")
			return s.show(v, func(w io.Writer) {
				fmt.Fprintf(w, "%s %s %s %s\n", v.Name, v.Version, v.Go, v.Platform)
			})
		},
	}
}
