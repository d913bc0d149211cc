// Package pool keeps the buffers of a ReverseProxy, as they are 32 kB each.
package pool

import "sync"

type buffers struct{ sync.Pool }

func (b *buffers) Get() []byte  { return *b.Pool.Get().(*[]byte) }
func (b *buffers) Put(s []byte) { b.Pool.Put(&s) }

// New returns an httputil.BufferPool.
func New() *buffers {
	b := new(buffers)
	b.New = func() any {
		s := make([]byte, 32*1024)
		return &s
	}

	return b
}
