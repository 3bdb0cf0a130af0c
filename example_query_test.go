package symphony_test

import (
	"context"
	"fmt"

	"github.com/symphony-messenger/symphony"
)

type User struct{ Name string }

type GetUser struct {
	symphony.Returns[User]
	ID int64
}

func (GetUser) MessageType() string { return "get_user" }

// A query is answered in place, whatever transport the bus has. The type of the answer is inferred.
func ExampleAsk() {
	bus := new(symphony.Bus)
	symphony.Answer(bus, func(_ context.Context, q GetUser) (User, error) {
		return User{Name: fmt.Sprint("user ", q.ID)}, nil
	})

	user, err := symphony.Ask(context.Background(), bus, GetUser{ID: 42})
	fmt.Println(user.Name, err)
	// Output: user 42 <nil>
}
