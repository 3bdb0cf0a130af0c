// Package symphony dispatches typed messages to handlers: now or later, here or elsewhere.
//
// A message is a plain value with a stable name. A [Bus] puts it into an [Envelope] and either
// handles it in place or gives it to a [Transport], which keeps it until a [Worker] has handled it:
//
//	type SendWelcome struct{ UserID int64 }
//
//	func (SendWelcome) MessageType() string { return "send_welcome" }
//
//	bus := &symphony.Bus{Transport: store}
//	symphony.Handle(bus, func(ctx context.Context, m SendWelcome) error { … })
//	bus.Dispatch(ctx, SendWelcome{UserID: 42}, symphony.Delay(time.Minute))
//	(&symphony.Worker{Bus: bus}).Run(ctx)
//
// # Delivery
//
// A stored message is delivered at least once. A claim is a lease with a [Token]: the worker renews
// it while the handler runs, and every [Verdict] carries it, so that a worker which was paused past
// its lease changes nothing any more. A handler that fails is tried again, with growing pauses, and
// a message that cannot succeed is kept as a dead letter, moved there by the step that records the
// failure. Handlers must therefore be safe to repeat; the transports for PostgreSQL and SQLite can
// complete a message in the handler's own transaction, which makes its effects in that database
// happen at most once.
//
// # Where things are
//
// Transports are in the packages below transport, retry policies in retry, ready-made middleware in
// middleware, helpers for tests in symphonytest, and what people look at and repair in monitor.
package symphony
