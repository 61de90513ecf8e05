// Records of many keys for one call of the library.
#pragma once

#include <forward_list>
#include <vector>

#include <shoal/store.hpp>

#include "python/binding/arguments.hpp"

namespace shoal::python {

// Holds every key and value that is added, so that they stay what they are while the interpreter's lock is let go.
// Thread safety: as arguments.hpp.
class Batch {
public:
    // One record of each key of a mapping.
    void add_mapping(nb::handle mapping);
    // Several records: of one key; of each key of a mapping; of an iterable's pairs of key and record.
    void add_records(nb::handle key, nb::handle records);
    void add_records_of_mapping(nb::handle mapping);
    void add_pairs(nb::handle pairs);

    // Appends all, and raises what goes wrong.
    void append_to(Store& store) const;

private:
    void add(nb::handle key, nb::handle value);

    std::vector<Pair> pairs_;
    std::vector<nb::object> held_;      // keys, and values that are `bytes`
    std::forward_list<Value> buffers_;  // of all other values
    std::size_t bytes_ = 0;
};

// Whether it has keys and values: a dict, or anything with items().
[[nodiscard]] bool is_mapping(nb::handle object);

}  // namespace shoal::python
