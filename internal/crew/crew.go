// Package crew runs many short tasks on few goroutines, and many long ones on as many as there are tasks.
package crew

import (
	"sync"
	"sync/atomic"
)

// A Crew runs each task on a goroutine of its own if need be. A new goroutine must first grow its stack, and that of one that
// waits is shrunk by the next garbage collection: for a task of microseconds that is half of the cost. So nobody is called while somebody
// is on the way to the queue, be it called or back from a task; the next one is called by one who has found work and left
// some. While tasks are short, those few that run take all of it before others come; when one blocks, the processor that it
// leaves free lets the next one come. The zero value is ready. Its methods may be called concurrently.
type Crew struct {
	mu     sync.Mutex
	tasks  []func()
	next   int             // the first of tasks that nobody has taken
	coming atomic.Int64    // how many are on the way to the queue: at least one while it is not empty and mu is free
	parked []chan struct{} // the last to come is the first to be called: its stack is warm
	closed bool
	all    sync.WaitGroup
}

// Do lets task run soon. It does not block.
func (c *Crew) Do(task func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tasks = append(c.tasks, task)
	c.call()
}

// Close lets goroutines end that have nothing to do. What has been given to Do runs all the same; nothing may be given to it any
// more.
func (c *Crew) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for _, p := range c.parked {
		close(p)
	}
	c.parked = nil
}

// Wait returns when all goroutines have ended, after Close.
func (c *Crew) Wait() { c.all.Wait() }

// call lets somebody come if there is work and nobody is on the way. c.mu is held.
func (c *Crew) call() {
	if c.coming.Load() > 0 || c.next == len(c.tasks) {
		return
	}
	c.coming.Add(1)
	if last := len(c.parked) - 1; last >= 0 {
		p := c.parked[last]
		c.parked = c.parked[:last]
		p <- struct{}{} // there is room for it
		return
	}
	c.all.Go(c.serve)
}

// serve runs tasks. One that ends its goroutine harms nobody: whoever has a task is not on the way any more.
func (c *Crew) serve() {
	var p chan struct{}
	for {
		if task, ok := c.take(); ok {
			task()
			c.coming.Add(1)
			continue
		}
		if p == nil {
			p = make(chan struct{}, 1)
		}
		if !c.park(p) {
			return
		}
		if _, called := <-p; !called {
			return
		}
	}
}

// take returns the next task, if there is one, and lets the next one come. Who calls it has been counted in c.coming before it waits for
// the lock: when many wait for it and are not counted, each that gets it calls one more.
func (c *Crew) take() (task func(), ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.coming.Add(-1)
	if c.next == len(c.tasks) {
		c.tasks, c.next = c.tasks[:0], 0
		return nil, false
	}
	task = c.tasks[c.next]
	c.tasks[c.next] = nil
	c.next++
	c.call()
	return task, true
}

// park reports whether there may be more to do.
func (c *Crew) park(p chan struct{}) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false // what is in the queue has somebody on the way
	}
	c.parked = append(c.parked, p)
	return true
}
