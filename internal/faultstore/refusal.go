package faultstore

import (
	"errors"

	"github.com/symphony-messenger/symphony"
)

// refusal tells an answer about verdicts from a failure to answer.
func refusal(err error) (refused, failed error) {
	if errors.Is(err, symphony.ErrLeaseLost) || errors.Is(err, symphony.ErrNotCommitted) {
		return err, nil
	}
	return nil, err
}
