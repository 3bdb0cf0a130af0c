package errtext

import (
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
)

// WrongType says what was expected where, in place of the types of Go, when encoding/json found a value of another type. Other
// errors it returns as they are.
func WrongType(err error) error {
	wrong, ok := errors.AsType[*json.UnmarshalTypeError](err)
	if !ok {
		return err
	}
	where := wrong.Field
	if where == "" {
		where = "it"
	}
	return fmt.Errorf("%s must be %s, not %s", where, expected(wrong.Type), found(wrong.Value))
}

var textual = reflect.TypeFor[encoding.TextUnmarshaler]()

func expected(t reflect.Type) string {
	switch kind := t.Kind(); {
	case kind == reflect.String, reflect.PointerTo(t).Implements(textual), kind == reflect.Slice && t.Elem().Kind() == reflect.Uint8:
		return "text"
	case kind == reflect.Bool:
		return "true or false"
	case kind >= reflect.Int && kind <= reflect.Uint64:
		return "a whole number"
	case kind == reflect.Float32, kind == reflect.Float64:
		return "a number"
	case kind == reflect.Slice, kind == reflect.Array:
		return "a list"
	}
	return "an object"
}

// found is a value in the words of encoding/json, such as "number -7", in ours.
func found(value string) string {
	switch {
	case value == "string":
		return "text"
	case value == "array":
		return "a list"
	case value == "object":
		return "an object"
	case value == "bool":
		return "true or false"
	case value == "number":
		return "a number"
	}
	return strings.TrimPrefix(value, "number ")
}
