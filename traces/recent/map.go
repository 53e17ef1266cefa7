// Package recent has a map that finds the keys asked for lately without hashing: rows
// of a trace come from few threads, processes, CPUs and addresses at a time.
package recent

import "iter"

// slots is how many keys are found at once; ids that follow each other do not share one.
const slots = 256

// Map is a map of numbers to values that live in it. The zero value is an empty map.
type Map[K ~int32 | ~uint64, V any] struct {
	values map[K]*V
	slots  [slots]slot[K, V]
}

type slot[K ~int32 | ~uint64, V any] struct {
	key   K
	value *V
}

// Get returns the value of key, nil when there is none.
func (m *Map[K, V]) Get(key K) *V {
	s := &m.slots[uint64(key)%slots]
	if s.value != nil && s.key == key {
		return s.value
	}
	return m.find(key)
}

func (m *Map[K, V]) find(key K) *V {
	v := m.values[key]
	if v != nil {
		m.slots[uint64(key)%slots] = slot[K, V]{key, v}
	}
	return v
}

// Set gives key a value.
func (m *Map[K, V]) Set(key K, v *V) {
	if m.values == nil {
		m.values = map[K]*V{}
	}
	m.values[key] = v
	m.slots[uint64(key)%slots] = slot[K, V]{key, v}
}

// Delete takes key out.
func (m *Map[K, V]) Delete(key K) {
	delete(m.values, key)
	if s := &m.slots[uint64(key)%slots]; s.key == key {
		s.value = nil
	}
}

// Clear takes all out.
func (m *Map[K, V]) Clear() {
	if len(m.values) > 0 {
		clear(m.values)
		clear(m.slots[:])
	}
}

// Len is the number of keys.
func (m *Map[K, V]) Len() int { return len(m.values) }

// All goes through the map in no order.
func (m *Map[K, V]) All() iter.Seq2[K, *V] {
	return func(yield func(K, *V) bool) {
		for k, v := range m.values {
			if !yield(k, v) {
				return
			}
		}
	}
}
