package main

type set struct{ n chan int }

func (s set) Add(n int) { s.n <- n }
func (s set) Done()     { close(s.n) }

func init() {
	cases["adding"] = func() {
		s := set{make(chan int)}
		go func() {
			s.Add(1)
			s.Done()
		}()
		show(<-s.n)
	}
}
