package symphonytest

import (
	"fmt"
	"reflect"
	"strings"
)

func equalAll[M any](want, got []M) bool {
	if len(want) != len(got) {
		return false
	}
	for i := range want {
		if !equal(want[i], got[i]) {
			return false
		}
	}
	return true
}

func equal[M any](a, b M) bool {
	return equalValues(reflect.ValueOf(&a).Elem(), reflect.ValueOf(&b).Elem())
}

// equalValues is reflect.DeepEqual for values without cycles, with respect for Equal methods: a time
// that was in JSON has another location and no monotonic clock, and is still the same time.
func equalValues(a, b reflect.Value) bool {
	if !a.IsValid() || !b.IsValid() || a.Type() != b.Type() {
		return a.IsValid() == b.IsValid() && !a.IsValid()
	}
	if same, ok := ownOpinion(a, b); ok {
		return same
	}
	switch a.Kind() {
	case reflect.Struct:
		for i := range a.NumField() {
			if !equalValues(a.Field(i), b.Field(i)) {
				return false
			}
		}
		return true
	case reflect.Slice, reflect.Map:
		if a.IsNil() != b.IsNil() || a.Len() != b.Len() {
			return false
		}
		if a.Kind() == reflect.Map {
			return equalMaps(a, b)
		}
		fallthrough
	case reflect.Array:
		for i := range a.Len() {
			if !equalValues(a.Index(i), b.Index(i)) {
				return false
			}
		}
		return true
	case reflect.Pointer, reflect.Interface:
		return equalValues(a.Elem(), b.Elem())
	case reflect.Func:
		return a.IsNil() && b.IsNil()
	}
	return a.Equal(b)
}

func equalMaps(a, b reflect.Value) bool {
	for each := a.MapRange(); each.Next(); {
		if !equalValues(each.Value(), b.MapIndex(each.Key())) {
			return false
		}
	}
	return true
}

// ownOpinion asks the method Equal(T) bool of a T, if there is one that can be called.
func ownOpinion(a, b reflect.Value) (same, ok bool) {
	if !a.CanInterface() || a.Kind() == reflect.Pointer && (a.IsNil() || b.IsNil()) || a.Kind() == reflect.Interface {
		return false, false
	}
	method, found := a.Type().MethodByName("Equal")
	if !found || method.Type.NumIn() != 2 || method.Type.In(1) != a.Type() || method.Type.NumOut() != 1 || method.Type.Out(0).Kind() != reflect.Bool {
		return false, false
	}
	return a.Method(method.Index).Call([]reflect.Value{b})[0].Bool(), true
}

// difference lists what was wanted and what came, line by line.
func difference[M any](want, got []M) string {
	var lines strings.Builder
	for i := range max(len(want), len(got)) {
		if i < len(want) && i < len(got) && equal(want[i], got[i]) {
			fmt.Fprintf(&lines, "    %+v\n", got[i])
			continue
		}
		if i < len(want) {
			fmt.Fprintf(&lines, "  - %+v\n", want[i])
		}
		if i < len(got) {
			fmt.Fprintf(&lines, "  + %+v\n", got[i])
		}
	}
	return lines.String()
}

// others says what was dispatched at all: it may be that the type is wrong.
func others(s *Spy) string {
	var types []string
	for _, env := range s.All() {
		types = append(types, env.Type)
	}
	return fmt.Sprintf("types of all messages that were dispatched: %q", types)
}
