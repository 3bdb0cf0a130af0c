package symphony_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/symphony-messenger/symphony"
)

func anEnvelope() *symphony.Envelope {
	tags := make([]string, 1, 4)
	tags[0] = "sent"
	return &symphony.Envelope{
		ID: symphony.NewID(), Type: "test.greet", Body: []byte("{}"), ContentType: "application/json", Version: 3,
		Headers: map[string]string{"tenant": "acme", "who": "sender"}, Tags: tags,
		Queue: "default", Group: "g", Priority: 5, At: time.Unix(1, 0), Expires: time.Hour, Key: "k", Window: time.Minute,
	}
}

func diffOf(want, got *symphony.Envelope) string {
	return cmp.Diff(want, got, cmpopts.IgnoreUnexported(symphony.Envelope{}))
}

func TestCopyForNobodyIsTheSame(t *testing.T) {
	env := anEnvelope()
	s := symphony.Subscription{Type: "test.greet", Queue: "ignored", Tags: []string{"ignored"}}
	got := s.Copy(env)
	if diff := diffOf(env, got); diff != "" || got == env {
		t.Error(diff)
	}
}

func TestCopyForASubscriber(t *testing.T) {
	env := anEnvelope()
	s := symphony.Subscription{Type: "test.greet", Subscriber: "crm"}
	want := *env
	want.ID, want.Subscriber = env.ID.For("crm"), "crm"
	if diff := diffOf(&want, s.Copy(env)); diff != "" {
		t.Errorf("a subscription that says nothing: %s", diff)
	}

	retries := 0
	s = symphony.Subscription{
		Type: "test.greet", Subscriber: "crm", Queue: "crm", Group: "crm-group", Priority: 9, Delay: time.Second, Expires: time.Minute,
		MaxRetries: &retries, Headers: map[string]string{"who": "crm", "more": "1"}, Tags: []string{"crm"},
	}
	want.Queue, want.Group, want.Priority, want.Delay, want.Expires, want.MaxRetries = "crm", "crm-group", 9, time.Second, time.Minute, &retries
	want.At = time.Time{} // Delay and At are one wish
	want.Headers = map[string]string{"tenant": "acme", "who": "crm", "more": "1"}
	want.Tags = []string{"sent", "crm"}
	if diff := diffOf(&want, s.Copy(env)); diff != "" {
		t.Error(diff)
	}
}

func TestCopyLeavesTheEnvelopeAlone(t *testing.T) {
	env := anEnvelope()
	before := *env
	before.Headers = map[string]string{"tenant": "acme", "who": "sender"}
	a := symphony.Subscription{Subscriber: "a", Headers: map[string]string{"who": "a"}, Tags: []string{"a"}}
	b := symphony.Subscription{Subscriber: "b", Headers: map[string]string{"who": "b"}, Tags: []string{"b"}}
	ofA, ofB := a.Copy(env), b.Copy(env)
	if diff := diffOf(&before, env); diff != "" {
		t.Error(diff)
	}
	if ofA.Headers["who"] != "a" || ofA.Tags[1] != "a" || ofB.Headers["who"] != "b" || ofB.Tags[1] != "b" {
		t.Errorf("copies share what is theirs: %v %v, %v %v", ofA.Headers, ofA.Tags, ofB.Headers, ofB.Tags)
	}
	bare := &symphony.Envelope{}
	if got := a.Copy(bare); got.Headers["who"] != "a" || bare.Headers != nil {
		t.Errorf("headers where there were none: %v, %v", got.Headers, bare.Headers)
	}
}
