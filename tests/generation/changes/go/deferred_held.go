package main

import "sync"

func takeTwice(mu *sync.Mutex) {
	mu.Lock()
	defer mu.Lock()
	mu.Unlock()
	show("held")
}

func init() {
	cases["deferred_held"] = func() {
		var mu sync.Mutex
		takeTwice(&mu)
		show(mu.TryLock())
	}
}
