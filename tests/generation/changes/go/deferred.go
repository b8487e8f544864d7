package main

import "sync"

func relock(mu *sync.Mutex) {
	mu.Unlock()
	defer mu.Lock()
	show("unlocked")
}

func init() {
	cases["deferred"] = func() {
		var mu sync.Mutex
		mu.Lock()
		relock(&mu)
		mu.Unlock()
	}
}
