//go:build !unix

package push

import "os/exec"

// Without process groups the context's end kills the program alone, as exec does by itself.
func setGroup(*exec.Cmd) {}

func killGroup(*exec.Cmd) {}
