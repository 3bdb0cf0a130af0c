package cronimport

import (
	"fmt"
	"io"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
)

// CrontabOptions say what a crontab does not.
type CrontabOptions struct {
	Timezone   string // of the machine's clock; "": UTC. A line CRON_TZ=… goes before it
	UserColumn bool   // as in /etc/crontab and /etc/cron.d: a user stands before each command
}

// Crontab reads a crontab, in the format of Vixie's cron and of cronie. Each line becomes a message that its
// command, run by /bin/sh with the environment that the crontab sets, handles; what follows a % is the body.
func Crontab(r io.Reader, opts CrontabOptions) (*Import, error) {
	im, err := newImporter(opts.Timezone)
	if err != nil {
		return nil, fmt.Errorf("read a crontab: %w", err)
	}
	text, err := read(r)
	if err != nil {
		return nil, fmt.Errorf("read a crontab: %w", err)
	}
	im.Notes = []string{
		"a command that fails is tried again; cron does not do that",
		"cron starts commands in the home directory of their user; a worker starts them in its own directory, with its own PATH and HOME",
		"what commands print is logged, not mailed",
		"remove each line from the crontab when its schedule takes over: else it runs twice",
	}
	if opts.Timezone == "" {
		im.Notes = append(im.Notes, "times are taken as UTC; cron takes those of its machine")
	}
	c := crontab{importer: im, opts: opts, shell: "/bin/sh", env: make(map[string]string)}
	number := 0
	for line := range strings.SplitSeq(text, "\n") {
		number++
		c.line(fmt.Sprintf("line %d", number), strings.Trim(line, " \t\r"))
	}
	return im.done(), nil
}

// A crontab is one that is read, with what its lines have set so far.
type crontab struct {
	*importer
	opts  CrontabOptions
	shell string
	zone  string
	env   map[string]string
}

var (
	crontabSetting = regexp.MustCompile(`^("[^"]*"|'[^']*'|[A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*)$`)
	crontabFields  = regexp.MustCompile(`^-?(@\S+|\S+(?:[ \t]+\S+){4})[ \t]+(.*)$`)
	crontabUser    = regexp.MustCompile(`^(\S+)[ \t]+(.*)$`)
	crontabRandom  = regexp.MustCompile(`^([0-9]*)~([0-9]*)$`)
)

func (c *crontab) line(source, line string) {
	if line == "" || line[0] == '#' {
		return
	}
	if m := crontabSetting.FindStringSubmatch(line); m != nil {
		c.set(source, unquote(m[1]), unquote(m[2]))
		return
	}
	m := crontabFields.FindStringSubmatch(line)
	if m == nil {
		c.leave(source, line, "it is no comment, no setting, and has no command after five fields")
		return
	}
	when, command := m[1], m[2]
	if when == "@reboot" {
		c.leave(source, line, "a schedule has no boot: start it with the machine, by systemd for example")
		return
	}
	user := ""
	if c.opts.UserColumn {
		u := crontabUser.FindStringSubmatch(command)
		if u == nil {
			c.leave(source, line, "it has no command after the user")
			return
		}
		user, command = u[1], u[2]
	}
	command, input := splitInput(command)
	if command == "" {
		c.leave(source, line, "it has no command")
		return
	}
	e := entry{
		Job: Job{
			Expression:  crontabExpression(when),
			Timezone:    c.zone,
			ContentType: "text/plain",
			Body:        []byte(input),
			Handler:     Handler{Command: c.run(command)},
			Source:      source,
		},
		stem: slug(commandName(command)), same: user + "\x00" + command + "\x00" + input, text: line,
	}
	if user != "" {
		e.Notes = append(e.Notes, "cron ran it as "+user+"; a worker runs it as the user that it runs as itself")
	}
	if strings.Contains(e.Expression, "H(") {
		e.Notes = append(e.Notes, "its name chooses the numbers that cron chose at random")
	}
	c.add(e)
}

// set is about a line NAME=value.
func (c *crontab) set(source, name, value string) {
	switch name {
	case "CRON_TZ":
		c.zone = value
	case "SHELL":
		c.shell = value
	case "MAILTO", "MAILFROM", "CONTENT_TYPE", "CONTENT_TRANSFER_ENCODING":
		if value != "" {
			c.leave(source, name+"="+value, "output is logged, not mailed")
		}
	case "RANDOM_DELAY":
		c.leave(source, name+"="+value, "give the schedules a jitter")
	default:
		c.env[name] = value
	}
}

// run is how cron runs a command.
func (c *crontab) run(command string) []string {
	var args []string
	if len(c.env) > 0 {
		args = append(args, "env")
		for _, name := range slices.Sorted(maps.Keys(c.env)) {
			args = append(args, name+"="+c.env[name])
		}
	}
	return append(args, c.shell, "-c", command)
}

func unquote(value string) string {
	if n := len(value); n > 1 && (value[0] == '"' || value[0] == '\'') && value[n-1] == value[0] {
		return value[1 : n-1]
	}
	return value
}

// splitInput cuts a command at its first %. What follows is the standard input, with a new line for each further
// %. Behind a backslash it is a percent sign.
func splitInput(text string) (command, input string) {
	var parts [2]strings.Builder
	part := 0
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == '\\' && i+1 < len(text) && text[i+1] == '%':
			i++
			parts[part].WriteByte('%')
		case text[i] != '%':
			parts[part].WriteByte(text[i])
		case part == 0:
			part = 1
		default:
			parts[1].WriteByte('\n')
		}
	}
	input = parts[1].String()
	if part == 1 && !strings.HasSuffix(input, "\n") {
		input += "\n" // as cron does
	}
	return strings.TrimSpace(parts[0].String()), input
}

// crontabExpression writes cronie's random numbers (~, 0~30) as package cron does.
func crontabExpression(when string) string {
	fields := strings.Fields(when)
	if len(fields) != 5 {
		return when
	}
	ranges := [5][2]string{{"0", "59"}, {"0", "23"}, {"1", "31"}, {"1", "12"}, {"0", "6"}}
	for i, field := range fields {
		items := strings.Split(field, ",")
		for j, item := range items {
			m := crontabRandom.FindStringSubmatch(item)
			if m == nil {
				continue
			}
			lo, hi := ranges[i][0], ranges[i][1]
			if m[1] != "" {
				lo = m[1]
			}
			if m[2] != "" {
				hi = m[2]
			}
			items[j] = "H(" + lo + "-" + hi + ")"
		}
		fields[i] = strings.Join(items, ",")
	}
	return strings.Join(fields, " ")
}

var (
	// guard is what often stands before a command: cd, or a check whether it is there.
	guard      = regexp.MustCompile(`^(cd|test|\[\[?|command -v|which)\s[^&|;]*(&&|\|\||;)\s*(\{\s)?\s*`)
	assignment = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*=`)
)

// commandName is what one would call a command: its words up to where its output goes, without directories, and without
// what is before it.
func commandName(command string) string {
	for rest := guard.ReplaceAllString(command, ""); rest != command && rest != ""; rest = guard.ReplaceAllString(command, "") {
		command = rest
	}
	if i := strings.IndexAny(command, "<>|;&"); i > 0 {
		command = strings.TrimRight(command[:i], "0123456789") // also the 2 of 2>
	}
	var words []string
	for _, word := range strings.Fields(command) {
		if word = strings.Trim(word, `"'`); len(words) == 0 && (assignment.MatchString(word) || path.Base(word) == "env") {
			continue
		}
		words = append(words, path.Base(word))
	}
	return strings.Join(words, "-")
}
