package symphony

import "context"

// ContextWithDelivery is the context in which a worker runs a handler.
func ContextWithDelivery(ctx context.Context, d *Delivery) context.Context {
	return context.WithValue(ctx, deliveryKey{}, d)
}
