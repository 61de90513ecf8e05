// A tree of the index, checked with all that hangs from it: index/layout.hpp.
//
// At rest it also follows what a dead process left side by side: a replaced leaf and what replaces it.
#pragma once

#include <functional>
#include <unordered_set>
#include <vector>

#include "index/layout.hpp"
#include "verify/check_chain.hpp"

namespace shoal {

class IndexCheck {
public:
    // `pause` is called where the walk holds nothing, now and then; false: the tree is no longer to be followed.
    IndexCheck(Inspection& inspection, Holder holder, State state, std::function<bool()> pause)
        : inspection_(inspection), holder_(holder), state_(state), pause_(std::move(pause)) {}

    void check_tree(std::uint64_t tree, std::uint64_t from);
    // A leaf that waits to be freed: it alone, as its chains have gone to its successors.
    static void check_retired_leaf(Inspection& inspection, std::uint64_t leaf, std::uint64_t from, Holder holder);

private:
    struct Group {                   // the entries of one node that name one leaf
        std::uint64_t leaf = ~0ULL;  // none yet
        std::uint64_t end = 0;       // index behind the last
        bool settled = true;         // none of them may name another
        std::uint64_t parent = 0;
    };
    struct Place {
        std::uint64_t prefix;  // of the hashes that lead there
        unsigned depth;        // bits of it
    };

    bool check_node(std::uint64_t node, unsigned bits, unsigned consumed, std::uint64_t prefix);
    void check_entry(std::uint64_t leaf, std::uint64_t from, unsigned consumed, std::uint64_t index,
                     std::uint64_t prefix, Group* group);
    // Its group of entries is not looked at here; false when it is no leaf.
    bool check_leaf(std::uint64_t leaf, std::uint64_t from, std::uint64_t prefix, unsigned least, unsigned most);
    void check_slots(const Leaf& leaf, std::uint64_t at, Place place);
    void check_for_twins(const std::vector<std::pair<std::uint64_t, std::uint64_t>>& chains);
    [[nodiscard]] bool is_erased_now(const Chain& chain);
    void check_successor(const Leaf& leaf, std::uint64_t at, Place place, std::uint64_t successor);
    // The blocks of a replacement that is published, and what has been copied to them. The leaf's slots still
    // count.
    void check_pending(const Leaf& leaf, std::uint64_t at, Place place, std::uint64_t successor);
    void check_pending_half(const Leaf& leaf, std::uint64_t half, std::uint64_t parent, unsigned depth);
    void check_parent(const Leaf& leaf, std::uint64_t at, Place place);
    void check_copies();

    Inspection& inspection_;
    Holder holder_;
    State state_;
    std::function<bool()> pause_;
    std::unordered_set<std::uint64_t> side_by_side_;  // leaves that were reached by a successor or parent
    std::vector<std::uint64_t> replaced_;             // leaves whose chains are in their successors
};

}  // namespace shoal
