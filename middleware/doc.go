// Package middleware has ready-made middleware of a bus: what most programs want around their handlers
// or around sending. Each function says which chain it belongs to:
//
//	bus := &symphony.Bus{
//		Transport: store,
//		Sending:   []symphony.Middleware{middleware.Propagate("tenant", "traceparent")},
//		Handling: []symphony.Middleware{
//			middleware.Log(logger),
//			middleware.Classify(middleware.Is(sql.ErrNoRows, symphony.Permanent)),
//			middleware.Timeout(time.Minute, nil),
//		},
//	}
//
// The first one is outermost, so that Log sees what Classify has decided. To recover from panics and
// to validate messages needs no middleware: the worker and the bus do it.
package middleware
