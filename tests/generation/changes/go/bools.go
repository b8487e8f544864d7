package main

func init() {
	cases["bools"] = func() {
		var v interface{} = 1
		ok := v == true
		show(ok)
		if len("a") == 1 == true {
			show("one")
		}
	}
}
