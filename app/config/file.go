package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"github.com/symphony-messenger/symphony/internal/nearest"
)

// largestFile bounds a file that is read by mistake.
const largestFile = 1 << 20

// A value is what one key was set to, in the file or elsewhere.
type value struct {
	key    *Key
	path   []string
	parsed any // of a list: []any
	text   string
	origin Origin
}

// A reader turns a file into values, and notes what is wrong with it.
type reader struct {
	path    string
	lookup  func(string) (string, bool)
	anchors map[string]ast.Node

	values   []value
	places   map[string]Origin // of every mapping and value, by dotted key
	order    map[string][]string
	problems []Problem
}

// read reads the whole file. A file with only comments sets nothing.
func (r *reader) read(root *node) {
	f, err := os.Open(r.path)
	if err != nil {
		r.problem(Origin{File: r.path}, "", fmt.Sprintf("cannot be read: %v", errors.Unwrap(err)), "")
		return
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, largestFile+1))
	switch {
	case err != nil:
		r.problem(Origin{File: r.path}, "", fmt.Sprintf("cannot be read: %v", errors.Unwrap(err)), "")
		return
	case len(data) > largestFile:
		r.problem(Origin{File: r.path}, "", "has more than 1 MiB: it is no configuration", "")
		return
	}
	r.parse(data, root)
}

func (r *reader) parse(data []byte, root *node) {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")) // as some editors write it
	if !utf8.Valid(data) {
		r.problem(Origin{File: r.path}, "", "is not in UTF-8", "")
		return
	}
	file, err := parser.ParseBytes(data, 0)
	if err != nil {
		var e yaml.Error
		if errors.As(err, &e) && e.GetToken() != nil {
			r.problem(r.at(e.GetToken()), "", "is no valid YAML: "+e.GetMessage(), "")
		} else {
			r.problem(Origin{File: r.path}, "", "is no valid YAML", "")
		}
		return
	}
	var bodies []ast.Node
	for _, d := range file.Docs {
		if d.Body != nil {
			bodies = append(bodies, d.Body)
		}
	}
	if len(bodies) > 1 {
		r.problem(r.place(bodies[1]), "", "is a second document: one file is one configuration", "")
		return
	}
	for _, body := range bodies {
		if body.Type() != ast.CommentType && body.Type() != ast.NullType {
			r.mapping(body, root, nil)
		}
	}
}

func (r *reader) problem(o Origin, key, text, hint string) {
	r.problems = append(r.problems, Problem{o, key, text, hint})
}

func (r *reader) at(t *token.Token) Origin {
	if t == nil || t.Position == nil {
		return Origin{File: r.path}
	}
	return Origin{File: r.path, Line: t.Position.Line, Column: t.Position.Column}
}

// place is where n begins. The token of a mapping is the colon of its first key, or its brace.
func (r *reader) place(n ast.Node) Origin {
	if m, ok := n.(*ast.MappingNode); ok && len(m.Values) > 0 && !m.IsFlowStyle {
		n = m.Values[0]
	}
	if v, ok := n.(*ast.MappingValueNode); ok {
		n = v.Key
	}
	return r.at(n.GetToken())
}

// resolve follows anchors and aliases.
func (r *reader) resolve(n ast.Node) (ast.Node, bool) {
	for range 10 {
		switch of := n.(type) {
		case *ast.AnchorNode:
			if r.anchors == nil {
				r.anchors = make(map[string]ast.Node)
			}
			r.anchors[of.Name.GetToken().Value] = of.Value
			n = of.Value
		case *ast.AliasNode:
			name := of.Value.GetToken().Value
			if r.anchors[name] == nil {
				r.problem(r.place(n), "", fmt.Sprintf("*%s refers to nothing before it", name), "")
				return nil, false
			}
			n = r.anchors[name]
		default:
			return n, true
		}
	}
	r.problem(r.place(n), "", "refers to itself", "")
	return nil, false
}

// mapping reads the keys of a mapping, each by what the tree says about it.
func (r *reader) mapping(n ast.Node, of *node, path []string) {
	n, ok := r.resolve(n)
	if !ok {
		return
	}
	r.places[dotted(path)] = r.place(n)
	var pairs []*ast.MappingValueNode
	switch m := n.(type) {
	case *ast.MappingNode:
		pairs = m.Values
	case *ast.MappingValueNode:
		pairs = []*ast.MappingValueNode{m}
	case *ast.NullNode: // a key with nothing behind: nothing is set
		return
	default:
		r.short(n, of, path)
		return
	}
	for _, pair := range pairs {
		key, ok := pair.Key.(ast.ScalarNode)
		if _, merge := pair.Key.(*ast.MergeKeyNode); merge || !ok {
			r.problem(r.place(pair), dotted(path), "has a key that is no plain word", "")
			continue
		}
		r.pair(key.GetToken().Value, pair, of, path)
	}
}

func (r *reader) pair(name string, pair *ast.MappingValueNode, of *node, path []string) {
	sub, where := of.sub[name], r.place(pair)
	full := append(path[:len(path):len(path)], name)
	if any := of.sub["*"]; any != nil {
		if err := any.check(name); err != nil {
			r.problem(where, dotted(full), err.Error(), "")
			return
		}
		sub = any
	}
	if sub == nil || name == "*" && of.sub["*"] == nil {
		hint := "known are " + strings.Join(of.names, ", ")
		if near, ok := nearest.To(name, of.names); ok {
			hint = "did you mean " + near + "?"
		}
		r.problem(where, dotted(full), "unknown key", hint)
		return
	}
	r.order[dotted(path)] = append(r.order[dotted(path)], name)
	if sub.key == nil {
		r.mapping(pair.Value, sub, full)
		return
	}
	r.leaf(pair.Value, sub.key, full)
}

// short takes a plain value in the place of a mapping.
func (r *reader) short(n ast.Node, of *node, path []string) {
	_, plain := n.(ast.ScalarNode)
	switch {
	case plain && of.short != "":
		r.leaf(n, of.sub[of.short].key, append(path[:len(path):len(path)], of.short))
	case len(path) == 0:
		r.problem(r.place(n), "", "must be a mapping of keys to values", "known are "+strings.Join(of.names, ", "))
	case of.names[0] == "*":
		r.problem(r.place(n), dotted(path), "must be a mapping, with a name for each entry", "")
	default:
		r.problem(r.place(n), dotted(path), "must be a mapping", "its keys are "+strings.Join(of.names, ", "))
	}
}

// leaf reads one value.
func (r *reader) leaf(n ast.Node, key *Key, path []string) {
	n, ok := r.resolve(n)
	if !ok {
		return
	}
	v := value{key: key, path: path, origin: r.place(n)}
	r.places[dotted(path)] = v.origin
	items := []ast.Node{n}
	if seq, ok := n.(*ast.SequenceNode); ok {
		if !key.kind.list {
			r.problem(v.origin, dotted(path), "is a list, must be one "+key.Type, "")
			return
		}
		items = seq.Values
	}
	var all []any
	for _, item := range items {
		written, ok := plain(item)
		if !ok {
			r.problem(r.place(item), dotted(path), "must be a "+key.Type, "")
			return
		}
		parsed, expanded, err := r.scalar(written, key)
		if err != nil {
			r.problem(r.place(item), dotted(path), err.Error(), "")
			return
		}
		all = append(all, parsed)
		v.origin.Expanded = v.origin.Expanded || expanded
		v.text += ", " + written
	}
	v.text = strings.TrimPrefix(v.text, ", ")
	if v.parsed = any(all); !key.kind.list {
		v.parsed = all[0]
	}
	r.values = append(r.values, v)
}

// scalar reads one plain value. Its error does not show what may be a password.
func (r *reader) scalar(written string, key *Key) (parsed any, expanded bool, err error) {
	s, expanded, err := expand(written, r.lookup)
	if err != nil {
		return nil, false, err
	}
	parsed, err = key.kind.parse(s)
	switch {
	case err == nil, key.kind.secret:
	case expanded:
		err = fmt.Errorf("%.80q %w", written, err)
	default:
		err = fmt.Errorf("%.80q %w", s, err)
	}
	return parsed, expanded, err
}

// plain is the text of a plain value as it was written.
func plain(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return strings.TrimSpace(n.Value.Value), true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return n.GetToken().Value, true
	}
	return "", false
}

// expand replaces ${NAME} by the variable of the environment, which must be set, and ${NAME:-text} by
// text when it is not. $${ stands for ${.
func expand(s string, lookup func(string) (string, bool)) (out string, expanded bool, err error) {
	var b strings.Builder
	for {
		i := strings.Index(s, "${")
		if i < 0 {
			b.WriteString(s)
			return b.String(), expanded, nil
		}
		if i > 0 && s[i-1] == '$' {
			b.WriteString(s[:i-1] + "${")
			s = s[i+2:]
			continue
		}
		inside, rest, ok := strings.Cut(s[i+2:], "}")
		name, fallback, has := strings.Cut(inside, ":-")
		if !ok || !isVariable(name) {
			return "", false, errors.New("has ${ without a name and }: write ${NAME} or ${NAME:-text}, and $${ for the characters themselves")
		}
		v, set := lookup(name)
		switch {
		case has && v == "":
			v = fallback
		case !set:
			return "", false, fmt.Errorf("${%s} is not set in the environment", name)
		}
		b.WriteString(s[:i] + v)
		s, expanded = rest, true
	}
}

func isVariable(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !(c == '_' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || i > 0 && c >= '0' && c <= '9') {
			return false
		}
	}
	return s != ""
}
