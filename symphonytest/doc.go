// Package symphonytest helps to test programs that dispatch and handle messages.
//
// A [Spy] is where messages go in a test: give it to the code under test, then ask what was dispatched.
//
//	var spy symphonytest.Spy
//	signUp(ctx, &spy, "ann@example.com") // takes a symphony.Dispatcher
//	symphonytest.AssertDispatched(t, &spy, SendWelcome{UserID: 1})
//
// A Spy is also a transport, so that the handlers can run too. [Drain] runs a worker until it has
// nothing to do; [DrainAll] waits for delays and retries as well. Within testing/synctest a day of
// delays takes milliseconds:
//
//	synctest.Test(t, func(t *testing.T) {
//		var spy symphonytest.Spy
//		bus := newBus(&spy)
//		bus.Dispatch(t.Context(), Remind{}, symphony.Delay(24*time.Hour))
//		for _, e := range symphonytest.DrainAll(t, &symphony.Worker{Bus: bus}) {
//			t.Log(e.Envelope.Type, e.Outcome, e.Err)
//		}
//	})
package symphonytest
