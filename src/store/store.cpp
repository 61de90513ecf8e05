// The public face: checks the key, and hands on to StoreImpl.
#include <shoal/store.hpp>

#include "store/impl.hpp"
#include "store/leftovers.hpp"
#include "store/reader.hpp"
#include "store/restore_backup.hpp"

namespace shoal {
namespace {

// Why a Store without an implementation cannot do what it is asked for.
Error refusal(const std::shared_ptr<StoreReader>& reader) {
    if (reader != nullptr) {
        return {
            Code::kReadOnly,
            "the store was opened to be read only: open it without Options::read_only (read_only=True) for what "
            "changes it, and for what attaches to it"};
    }
    return {Code::kInvalidArgument,
            "this Store was moved from and has no store any more: use the one it was moved to"};
}

// Where there is no implementation: `read`, if there is a reader. Apart, so that it takes no register of the calls
// that have one.
template <class Made, class Read>
[[gnu::cold, gnu::noinline]] Made without_impl(const std::shared_ptr<StoreReader>& reader, Read read) {
    if (reader != nullptr) return read(*reader);
    return tl::unexpected(refusal(reader));
}
template <class Made>
[[gnu::cold, gnu::noinline]] Made refuse(const std::shared_ptr<StoreReader>& reader) {
    return tl::unexpected(refusal(reader));
}

// Runs `use` with the implementation. Fails after a move, and where the store is read only.
template <class Use>
auto with_store(const std::shared_ptr<StoreImpl>& impl, const std::shared_ptr<StoreReader>& reader, Use&& use)
    -> decltype(use(*impl)) {
    if (impl == nullptr) [[unlikely]]
        return refuse<decltype(use(*impl))>(reader);
    return use(*impl);
}

// The same for what a reader can do too: then `read`. It has copies of its arguments, and is given as one: a
// reference would have them in memory for every call.
template <class Use, class Read>
auto with_store(const std::shared_ptr<StoreImpl>& impl, const std::shared_ptr<StoreReader>& reader, Use&& use,
                Read read) -> decltype(use(*impl)) {
    if (impl == nullptr) [[unlikely]]
        return without_impl<decltype(use(*impl))>(reader, read);
    return use(*impl);
}

// As with_store, with the key's reference. Fails where the key is too long.
template <class Use>
auto with_key(const std::shared_ptr<StoreImpl>& impl, const std::shared_ptr<StoreReader>& reader, ByteView key,
              Use&& use) -> decltype(use(*impl, std::declval<const KeyRef&>())) {
    using Made = decltype(use(*impl, std::declval<const KeyRef&>()));
    if (impl == nullptr) [[unlikely]]
        return refuse<Made>(reader);
    auto ref = impl->key_ref(key);
    if (!ref) [[unlikely]]
        return tl::unexpected(std::move(ref.error()));
    return use(*impl, *ref);
}
template <class Use, class Read>
auto with_key(const std::shared_ptr<StoreImpl>& impl, const std::shared_ptr<StoreReader>& reader, ByteView key,
              Use&& use, Read read) -> decltype(use(*impl, std::declval<const KeyRef&>())) {
    using Made = decltype(use(*impl, std::declval<const KeyRef&>()));
    if (impl == nullptr) [[unlikely]]
        return without_impl<Made>(reader, read);
    auto ref = impl->key_ref(key);
    if (!ref) [[unlikely]]
        return tl::unexpected(std::move(ref.error()));
    return use(*impl, *ref);
}

}  // namespace

std::string_view name(Code code) noexcept {
    switch (code) {
        case Code::kInvalidArgument:
            return "invalid argument";
        case Code::kNotFound:
            return "not found";
        case Code::kBufferTooSmall:
            return "buffer too small";
        case Code::kMemoryLimit:
            return "memory limit";
        case Code::kNoSpace:
            return "no space";
        case Code::kPermission:
            return "permission";
        case Code::kIncompatible:
            return "incompatible";
        case Code::kDamaged:
            return "damaged";
        case Code::kArenaGone:
            return "arena gone";
        case Code::kInUse:
            return "in use";
        case Code::kCopied:
            return "copied";
        case Code::kDestroyed:
            return "destroyed";
        case Code::kTooManyThreads:
            return "too many threads";
        case Code::kReadOnly:
            return "read only";
        case Code::kSystem:
            return "system";
    }
    return "unknown";
}

Store::Store(std::shared_ptr<StoreImpl> impl, std::shared_ptr<StoreReader> reader) noexcept
    : impl_(std::move(impl)), reader_(std::move(reader)) {}
Store::Store(Store&&) noexcept = default;
Store& Store::operator=(Store&&) noexcept = default;
Store::~Store() = default;

Result<Store> Store::open(const std::string& path, const Options& options) {
    if (options.read_only) return attach(path, options);
    return open_or_create(path, options, StoreImpl::fill_arena).map([&](OpenedArena&& opened) {
        return Store(std::make_shared<StoreImpl>(std::move(opened), options), nullptr);
    });
}
Result<Store> Store::attach(const std::string& path, const Options& options) {
    return attach_or_restore(path, options, StoreImpl::fill_arena).map([&](OpenedArena&& opened) {
        if (options.read_only) return Store(nullptr, make_reader(std::move(opened), options));
        return Store(std::make_shared<StoreImpl>(std::move(opened), options), nullptr);
    });
}
Result<Store> Store::in_memory(const Options& options) {
    if (options.read_only) {
        return tl::unexpected(Error{Code::kInvalidArgument, "a new store in memory cannot be read only"});
    }
    return create_in_memory(options, StoreImpl::fill_arena).map([&](OpenedArena&& opened) {
        return Store(std::make_shared<StoreImpl>(std::move(opened), options), nullptr);
    });
}
Result<void> Store::destroy(const std::string& path, const Options& options) {
    return destroy_store(path, options);
}
Result<std::vector<Leftover>> Store::collect(const CollectOptions& options) { return collect_leftovers(options); }

Result<Restored> Store::restore(const std::string& file, const std::string& path, const Options& options,
                                const RestoreOptions& restore_options) {
    return restore_backup(file, path, options, restore_options);
}
Result<Restored> Store::restore(const BackupSource& source, const std::string& path, const Options& options,
                                const RestoreOptions& restore_options) {
    return restore_backup(source, "the backup", 0, path, options, restore_options);
}

Result<void> Store::append(ByteView key, ByteView record) {
    return append(key, std::span<const ByteView>(&record, 1));
}
Result<void> Store::append(Key& key, ByteView record) { return append(key, std::span<const ByteView>(&record, 1)); }
Result<void> Store::append(ByteView key, std::span<const ByteView> pieces) {
    return with_key(impl_, reader_, key,
                    [&](StoreImpl& impl, const KeyRef& ref) { return impl.append(ref, Payload::record(pieces)); });
}
Result<void> Store::append(Key& key, std::span<const ByteView> pieces) {
    return with_store(impl_, reader_,
                      [&](StoreImpl& impl) { return impl.append(impl.key_ref(key), Payload::record(pieces)); });
}
Result<void> Store::append(std::span<const Pair> batch) {
    return with_store(impl_, reader_, [&](StoreImpl& impl) { return impl.append(batch); });
}

Result<bool> Store::iset(ByteView key, ByteView value) {
    return with_key(impl_, reader_, key, [&](StoreImpl& impl, const KeyRef& ref) { return impl.iset(ref, value); });
}
Result<Key> Store::key(ByteView key) const {
    return with_store(
        impl_, reader_, [&](StoreImpl& impl) { return impl.make_key(key); },
        [&](StoreReader&) -> Result<Key> {  // which looks it up each time
            return check_key(key).map([&] {
                Key made;
                made.bytes_ = std::string(key.text());
                return made;
            });
        });
}

Result<Bytes> Store::get(ByteView key) const {
    return with_key(
        impl_, reader_, key, [&](StoreImpl& impl, const KeyRef& ref) { return impl.get(ref); },
        [key](StoreReader& reader) { return reader.get(key); });
}
Result<Bytes> Store::get(Key& key) const {
    return with_store(
        impl_, reader_, [&](StoreImpl& impl) { return impl.get(impl.key_ref(key)); },
        [at = &key](StoreReader& reader) { return reader.get(at->bytes()); });
}
std::vector<Result<Bytes>> Store::get(std::span<const ByteView> keys) const {
    if (impl_ != nullptr) [[likely]]
        return impl_->get(keys);
    if (reader_ != nullptr) return reader_->get(keys);
    std::vector<Result<Bytes>> refused;
    for (std::size_t at = 0; at < keys.size(); ++at) refused.emplace_back(tl::unexpected(refusal(reader_)));
    return refused;
}
Result<std::size_t> Store::get_into(ByteView key, std::span<std::byte> buffer) const {
    return with_key(
        impl_, reader_, key, [&](StoreImpl& impl, const KeyRef& ref) { return impl.get_into(ref, buffer); },
        [key, buffer](StoreReader& reader) { return reader.get_into(key, buffer); });
}
Result<std::size_t> Store::get_into(Key& key, std::span<std::byte> buffer) const {
    return with_store(
        impl_, reader_, [&](StoreImpl& impl) { return impl.get_into(impl.key_ref(key), buffer); },
        [at = &key, buffer](StoreReader& reader) { return reader.get_into(at->bytes(), buffer); });
}
Result<View> Store::view(ByteView key) const {
    return with_key(
        impl_, reader_, key, [&](StoreImpl& impl, const KeyRef& ref) { return impl.view(ref); },
        [key](StoreReader& reader) { return reader.view(key); });
}
Result<Records> Store::records(ByteView key) const {
    return with_key(
        impl_, reader_, key, [&](StoreImpl& impl, const KeyRef& ref) { return impl.records(ref); },
        [key](StoreReader& reader) { return reader.records(key); });
}
Result<void> Store::records(ByteView key, std::size_t part_bytes,
                            const std::function<bool(const Records&)>& take) const {
    return with_key(
        impl_, reader_, key,
        [&](StoreImpl& impl, const KeyRef& ref) { return impl.records(ref, part_bytes, take); },
        [&](StoreReader& reader) { return reader.records(key, part_bytes, take); });
}
Result<ValueSize> Store::size(ByteView key) const {
    return with_key(
        impl_, reader_, key, [&](StoreImpl& impl, const KeyRef& ref) { return impl.size(ref); },
        [key](StoreReader& reader) { return reader.size(key); });
}
Result<bool> Store::contains(ByteView key) const {
    return with_key(
        impl_, reader_, key, [&](StoreImpl& impl, const KeyRef& ref) { return impl.contains(ref); },
        [key](StoreReader& reader) { return reader.contains(key); });
}
Result<void> Store::for_each_key(ByteView prefix, const std::function<bool(ByteView key)>& take) const {
    return with_store(
        impl_, reader_, [&](StoreImpl& impl) { return impl.for_each_key(prefix, take); },
        [&](StoreReader& reader) { return reader.for_each_key(prefix, take); });
}
Result<void> Store::for_each_key(const std::function<bool(ByteView key)>& take) const {
    return for_each_key("", take);
}
Result<bool> Store::next_keys(KeyCursor& cursor) const {
    return with_store(
        impl_, reader_, [&](StoreImpl& impl) { return impl.next_keys(cursor); },
        [&](StoreReader& reader) { return reader.next_keys(cursor); });
}
Result<std::vector<Bytes>> Store::keys() const {
    return with_store(
        impl_, reader_, [&](StoreImpl& impl) { return impl.keys(); },
        [](StoreReader& reader) { return reader.keys(); });
}
Result<bool> Store::erase(ByteView key) {
    return with_key(impl_, reader_, key, [&](StoreImpl& impl, const KeyRef& ref) { return impl.erase(ref); });
}
Result<void> Store::drop() {
    return with_store(impl_, reader_, [&](StoreImpl& impl) { return impl.drop(); });
}
Result<Stats> Store::stats() const {
    return with_store(
        impl_, reader_, [&](StoreImpl& impl) { return impl.stats(); },
        [](StoreReader& reader) { return reader.stats(); });
}
Result<std::uint64_t> Store::spill(std::uint64_t bytes) {
    return with_store(impl_, reader_, [&](StoreImpl& impl) { return impl.spill(bytes); });
}
Result<Synced> Store::sync() {
    return with_store(impl_, reader_, [&](StoreImpl& impl) { return impl.sync(); });
}
Result<BackedUp> Store::backup(const std::string& path, const BackupOptions& options) const {
    return with_store(impl_, reader_, [&](StoreImpl& impl) { return impl.backup(path, options); });
}
Result<BackedUp> Store::backup(const BackupSink& sink, const BackupOptions& options) const {
    return with_store(impl_, reader_, [&](StoreImpl& impl) { return impl.backup(sink, options); });
}
Result<void> Store::set_codec(ByteView key, const Codec& codec) {
    return with_key(impl_, reader_, key,
                    [&](StoreImpl& impl, const KeyRef& ref) { return impl.set_codec(ref, codec); });
}
Result<std::vector<Attached>> Store::attached() const {
    return with_store(impl_, reader_, [&](StoreImpl& impl) { return impl.attached(); });
}

}  // namespace shoal
