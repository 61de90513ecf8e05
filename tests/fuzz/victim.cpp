#include "victim.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "index/index.hpp"

namespace shoal_fuzz {
namespace {

using namespace shoal;

constexpr std::uint64_t kKernelPage = 4096;
constexpr std::uint64_t kSeed = 0x5ea1'5ea1'5ea1'5ea1;

void require(bool holds, const char* what) {
    if (holds) return;
    std::fprintf(stderr, "%s\n", what);
    std::abort();
}

// Lines of a child that is killed in the middle of its life, so that the arena has dead slots to recover.
void die_in(const std::string& path) {
    const pid_t child = ::fork();
    require(child >= 0, "fork");
    if (child == 0) {
        auto store = Store::attach(path);
        if (store) {
            (void)store->append("dead", "a record of the dead");
            auto view = store->view("dead");
            ::kill(::getpid(), SIGKILL);
        }
        ::_exit(0);
    }
    ::waitpid(child, nullptr, 0);
}

}  // namespace

Victim& Victim::instance() {
    static Victim victim;
    return victim;
}

Victim::Victim() {
    char name[] = "/tmp/shoal-fuzz-XXXXXX";
    require(::mkdtemp(name) != nullptr, "mkdtemp");
    directory_ = name;
    path_ = directory_ + "/store";
    Options options;
    options.memory_limit_bytes = 8U << 20;
    require(Store::open(path_, options).has_value(), "open");
    {
        const auto opened = attach_existing(path_);
        require(opened.has_value(), "attach");
        opened->mapping.header().hash_seed = kSeed;
        file_ = ::open(opened->arena_path.c_str(), O_RDWR | O_CLOEXEC);
        size_ = opened->mapping.bytes();
    }
    fill();
    die_in(path_);
    require(file_ >= 0, "the arena's file");
    bytes_ = static_cast<std::byte*>(::mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_SHARED, file_, 0));
    require(bytes_ != MAP_FAILED, "mmap");
    const auto opened = attach_existing(path_);
    require(opened.has_value(), "attach");
    find_words(opened->mapping);
    pages_.resize(size_);
    had_.resize(size_ / kKernelPage);
    each_extent([&](std::uint64_t begin, std::uint64_t end) {
        std::memcpy(&pages_[begin], bytes_ + begin, end - begin);
        for (std::uint64_t page = begin / kKernelPage; page < end / kKernelPage; ++page) had_[page] = true;
    });
}

Victim::~Victim() {
    restore();
    ::munmap(bytes_, size_);
    ::close(file_);
    (void)Store::destroy(path_);
    ::rmdir(directory_.c_str());
}

void Victim::fill() {
    auto store = Store::attach(path_);
    require(store.has_value(), "attach");
    bool good = true;
    for (int number = 0; number < 400; ++number) {
        good &= store->append("key " + std::to_string(number), "value").has_value();
    }
    for (int number = 0; number < 300; ++number)
        good &= store->append("long", "record of thirty bytes or so").has_value();
    good &= store->append("large", std::string(100'000, 'l')).has_value();
    good &= store->append("large", "small behind it").has_value();
    good &= store->append(std::string(40'000, 'k'), "of a long key").has_value();
    for (int number = 0; number < 20; ++number) good &= store->erase("key " + std::to_string(number)).has_value();
    require(good, "fill");
}

void Victim::find_words(const Mapping& mapping) {
    words_.resize(8);
    auto& [header, slots, tables, entries, leaves, chains, segments, frames] =
        *reinterpret_cast<std::array<std::vector<std::uint64_t>, 8>*>(words_.data());
    const ArenaHeader& arena = mapping.header();
    for (std::uint64_t at = offsetof(ArenaHeader, epoch); at < sizeof(ArenaHeader); at += 8) header.push_back(at);
    header.push_back(offsetof(ArenaHeader, first_segment_bytes));
    header.push_back(offsetof(ArenaHeader, hash_seed));
    for (std::uint64_t at = 0; at < 4 * sizeof(Slot); at += 8) slots.push_back(kSlotsAt + at);
    for (std::uint64_t at = arena.used_at; at < arena.pages_at; at += 8) {
        std::uint64_t word = 0;
        std::memcpy(&word, mapping.at<std::byte>(at), 8);
        if (word != 0) tables.push_back(at);
    }
    const auto offset_of = [&](const void* object) {
        return static_cast<std::uint64_t>(static_cast<const std::byte*>(object) - mapping.at<std::byte>(0UL));
    };
    const auto& tree = *mapping.at<Tree>(arena.tree.load());
    objects_ = {offset_of(&tree), tree.root};
    for (std::uint64_t at = 0; at < sizeof(Tree); at += 8) entries.push_back(offset_of(&tree) + at);
    std::uint64_t last = 0;
    for (std::uint64_t entry = 0; entry < 1U << kRootBits; ++entry) {
        const std::uint64_t at = tree.root + entry * 8;
        if (entry % 64 == 0) entries.push_back(at);
        const std::uint64_t leaf_at = mapping.at<Entry>(at)->load() & ~kNodeTag;
        if (leaf_at == last) continue;
        last = leaf_at;
        objects_.push_back(leaf_at);
        for (std::uint64_t field = 0; field < 64; field += 8) leaves.push_back(leaf_at + field);
        for (const auto& slot : mapping.at<Leaf>(leaf_at)->slots) {
            const std::uint64_t word = slot.load();
            if (!is_chain(word)) continue;
            leaves.push_back(offset_of(&slot));
            const auto& chain = *mapping.at<Chain>(slot_chain(word));
            const std::uint64_t chain_at = raw(slot_chain(word));
            const bool is_plain = chain.key().text().starts_with("key ");
            if (is_plain && chains.size() > 200) continue;
            objects_.push_back(chain_at);
            for (std::uint64_t field = 0; field < 48; field += 8) chains.push_back(chain_at + field);
            for (std::uint64_t at_segment = chain.root; at_segment != 0 && !is_erased(at_segment);) {
                const auto& segment = *mapping.at<Segment>(at_segment);
                objects_.push_back(at_segment);
                objects_.push_back(segment.block.load());
                for (std::uint64_t field = 0; field < 64; field += 8) segments.push_back(at_segment + field);
                for (std::uint64_t unit = 0; unit < std::min<std::uint64_t>(segment.data_units, 32); ++unit) {
                    frames.push_back(segment.block.load() + unit * 8);
                }
                at_segment = segment.next.load();
            }
        }
    }
}

template <class Visit>
void Victim::each_extent(Visit&& visit) const {
    for (off_t begin = ::lseek(file_, 0, SEEK_DATA); begin >= 0;) {
        off_t end = ::lseek(file_, begin, SEEK_HOLE);
        if (end < 0) end = static_cast<off_t>(size_);
        visit(static_cast<std::uint64_t>(begin), static_cast<std::uint64_t>(end));
        begin = ::lseek(file_, end, SEEK_DATA);
    }
}

void Victim::restore() {
    std::vector<std::pair<std::uint64_t, std::uint64_t>> fresh;  // pages that it had not, in a row
    each_extent([&](std::uint64_t begin, std::uint64_t end) {
        for (std::uint64_t at = begin; at < end; at += kKernelPage) {
            if (!had_[at / kKernelPage]) {
                if (fresh.empty() || fresh.back().second != at) fresh.emplace_back(at, at);
                fresh.back().second = at + kKernelPage;
            } else if (std::memcmp(bytes_ + at, &pages_[at], kKernelPage) != 0) {
                std::memcpy(bytes_ + at, &pages_[at], kKernelPage);
            }
        }
    });
    for (const auto& [begin, end] : fresh) {
        ::fallocate(file_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(begin),
                    static_cast<off_t>(end - begin));
    }
}

void use_everything(const std::string& path) {
    (void)Store::verify(path);
    auto attached = Store::attach(path);
    if (!attached) return;
    Store& store = *attached;
    (void)store.stats();
    (void)store.keys();
    for (const char* key : {"long", "large", "key 33", "key 399", "dead", "missing"}) {
        (void)store.get(key);
        (void)store.size(key);
        (void)store.contains(key);
        if (const auto records = store.records(key)) {
            std::uint64_t sum = 0;  // every byte that a view hands out can be read
            for (const ByteView record : *records) {
                for (const std::byte byte : record.span()) sum += static_cast<std::uint64_t>(byte);
            }
            if (sum == ~0ULL) std::abort();
        }
        (void)store.append(key, "one more record");
        (void)store.iset(key, "a value");
    }
    std::vector<std::byte> buffer(64);
    (void)store.get_into("long", buffer);
    (void)store.append("large", std::string(70'000, 'x'));
    std::vector<std::string> names;
    for (int number = 0; number < 60; ++number) names.push_back("new " + std::to_string(number * 7));
    std::vector<Pair> batch;
    for (const std::string& name : names) batch.emplace_back(ByteView(name), ByteView("a record in a batch"));
    (void)store.append(batch);
    if (auto handle = store.key("long")) {
        (void)store.append(*handle, "by handle");
        (void)store.get(*handle);
    }
    (void)Store::verify(path);  // beside ourselves
    for (const char* key : {"long", "key 33", "new 7", "large", "key 34", "key 35"}) (void)store.erase(key);
    (void)store.drop();
    (void)store.append("after", "the drop");
    (void)store.get("after");
    (void)store.stats();
}

}  // namespace shoal_fuzz
