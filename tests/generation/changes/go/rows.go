package main

type rowsOf struct{ left int }

func (r *rowsOf) Next() bool   { r.left--; return r.left >= 0 }
func (r *rowsOf) Close() error { show("closed"); return nil }

type base struct{}

func (base) Query(text string) (*rowsOf, error) { return &rowsOf{2}, nil }

func count(db base) (n int, err error) {
	rows, err := db.Query("SELECT 1")
	if err != nil {
		return 0, err
	}
	for rows.Next() {
		n++
	}
	return n, nil
}

func init() {
	cases["rows"] = func() { show(count(base{})) }
}
