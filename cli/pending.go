package cli

import "github.com/spf13/cobra"

func (s *session) doctor() *cobra.Command { return &cobra.Command{Use: "doctor"} }
func (s *session) check() *cobra.Command  { return &cobra.Command{Use: "check"} }
func (s *session) bench() *cobra.Command  { return &cobra.Command{Use: "bench"} }
