// The members of objects and the elements of arrays: begun, ended or taken back, and the members of
// an object put in order when it ends.

extension JSONEncoding {
    /// Writes the key of the next member of the object with this serial.
    func beginMember(_ key: String, of serial: Int) throws {
        try checkOpen(serial)
        let top = frames.count - 1
        let before = bytes.count
        if frames[top].count > 0 { bytes.append(0x2C) }
        let start = bytes.count + 1
        let isEscaped = bytes.appendJSON(key)
        let member = Member(keyStart: start, keyEnd: bytes.count - 1, end: 0)
        bytes.append(0x3A)
        let frame = frames[top]
        if frame.isSorted, members.count > frame.firstMember {
            let hasEscapes = isEscaped || frame.hasEscapes
            let order = compare(members[members.count - 1], member, hasEscapes)
            if order == 0 {
                let error = duplicate(member)
                bytes.truncate(to: before)
                throw error
            }
            if order > 0 { frames.update(top) { $0.isSorted = false } }
        }
        frames.update(top) { frame in
            frame.count += 1
            if isEscaped { frame.hasEscapes = true }
        }
        members.append(member)
    }

    /// The last member's value is written.
    @inline(__always)
    func endMember() throws {
        let end = bytes.count
        let last = members.count - 1
        // A member of which only the key is there would make a text that nobody can read.
        guard end > members[last].keyEnd + 2 else { throw refusal(end, "a member has no value") }
        members.update(last) { $0.end = end }
    }

    /// Takes the last member back, as its value was not written.
    func dropMember() {
        let top = frames.count - 1
        let member = members[members.count - 1]
        bytes.truncate(to: member.keyStart - (frames[top].count > 1 ? 2 : 1))
        members.truncate(to: members.count - 1)
        frames.update(top) { $0.count -= 1 }
    }

    /// Begins the next element of the array with this serial.
    func beginElement(of serial: Int) throws {
        try checkOpen(serial)
        let top = frames.count - 1
        if frames[top].count > 0 { bytes.append(0x2C) }
        frames.update(top) { $0.count += 1 }
    }

    /// Takes the last element back, as it was not written: the text ended at `end` before it.
    func dropElement(_ end: Int) {
        bytes.truncate(to: end)
        frames.update(frames.count - 1) { $0.count -= 1 }
    }

    /// The last element is written; the text ended at `end` before it. Of a set it is noted.
    @inline(__always)
    func endElement(_ end: Int) {
        let frame = frames[frames.count - 1]
        guard frame.kind == .set else { return }
        let start = frame.count > 1 ? end + 1 : end
        members.append(Member(keyStart: start, keyEnd: bytes.count, end: bytes.count))
    }

    /// Orders the elements of a set by their bytes.
    func sortElements(_ frame: Frame) {
        defer { members.truncate(to: frame.firstMember) }
        let start = frame.start + 1
        var elements: [Member] = []
        elements.reserveCapacity(members.count - frame.firstMember)
        for index in frame.firstMember..<members.count { elements.append(members[index]) }
        elements.sort { compare($0, $1, false) < 0 }
        let sorted = JSONText(capacity: bytes.count - start)
        unsafe bytes.withElements { text in
            for (index, element) in elements.enumerated() {
                if index > 0 { sorted.append(0x2C) }
                unsafe sorted.append(
                    contentsOf: UnsafeBufferPointer(
                        rebasing: text[element.keyStart..<element.end]))
            }
        }
        bytes.truncate(to: start)
        unsafe sorted.withElements { unsafe bytes.append(contentsOf: $0) }
    }

    /// Orders the members of an object by the UTF-8 bytes of their keys.
    func sortMembers(_ frame: Frame) throws {
        defer { members.truncate(to: frame.firstMember) }
        guard !frame.isSorted else { return }
        let first = frame.firstMember
        let start = frame.start + 1
        if members.count - first <= 16 {
            try sortByInsertion(first, frame.hasEscapes)
        } else {
            try sortByHeads(first, frame.hasEscapes)
        }
        let sorted = JSONText(capacity: bytes.count - start)
        unsafe bytes.withElements { text in
            for index in first..<members.count {
                if index > first { sorted.append(0x2C) }
                let member = members[index]
                unsafe sorted.append(
                    contentsOf: UnsafeBufferPointer(
                        rebasing: text[(member.keyStart - 1)..<member.end]))
            }
        }
        bytes.truncate(to: start)
        unsafe sorted.withElements { unsafe bytes.append(contentsOf: $0) }
    }

    /// For few members: most objects are small, and mostly in order.
    private func sortByInsertion(_ first: Int, _ hasEscapes: Bool) throws {
        for index in (first + 1)..<max(first + 1, members.count) {
            var place = index
            while place > first {
                comparisonCount += 1
                let order = compare(members[place - 1], members[place], hasEscapes)
                if order == 0 { throw duplicate(members[place]) }
                if order < 0 { break }
                let moved = members[place]
                members[place] = members[place - 1]
                members[place - 1] = moved
                place -= 1
            }
        }
    }

    /// For many members: by the first bytes of each key as one number, which is read once; keys
    /// that agree in them are compared in full.
    private func sortByHeads(_ first: Int, _ hasEscapes: Bool) throws {
        var order: [(head: UInt64, member: Member)] = []
        order.reserveCapacity(members.count - first)
        for index in first..<members.count {
            order.append((head(of: members[index], hasEscapes), members[index]))
        }
        order.sort { a, b in
            comparisonCount += 1
            return a.head != b.head ? a.head < b.head : compare(a.member, b.member, hasEscapes) < 0
        }
        for index in 0..<order.count {
            if index > 0, order[index].head == order[index - 1].head,
                compare(order[index - 1].member, order[index].member, hasEscapes) == 0
            {
                throw duplicate(order[index].member)
            }
            members[first + index] = order[index].member
        }
    }

    /// The first eight bytes of a key, the first one highest.
    private func head(of member: Member, _ hasEscapes: Bool) -> UInt64 {
        unsafe bytes.withElements { text in
            var (head, place, count) = (UInt64(0), member.keyStart, 0)
            while count < 8, place < member.keyEnd {
                head = unsafe head << 8 | UInt64(Self.keyByte(text, &place, hasEscapes))
                count += 1
            }
            return count == 0 ? 0 : head << UInt64(8 * (8 - count))
        }
    }

    /// Below 0 when the first key comes before the second, 0 when they are equal.
    func compare(_ a: Member, _ b: Member, _ hasEscapes: Bool) -> Int {
        unsafe bytes.withElements { text in
            var (left, right) = (a.keyStart, b.keyStart)
            while left < a.keyEnd, right < b.keyEnd {
                let x = unsafe Self.keyByte(text, &left, hasEscapes)
                let y = unsafe Self.keyByte(text, &right, hasEscapes)
                if x != y { return x < y ? -1 : 1 }
            }
            return (left < a.keyEnd ? 1 : 0) - (right < b.keyEnd ? 1 : 0)
        }
    }

    /// The next byte of a key as it was before it was escaped. What is escaped is one byte.
    @inline(__always)
    private static func keyByte(
        _ text: UnsafeBufferPointer<UInt8>, _ place: inout Int, _ hasEscapes: Bool
    ) -> UInt8 {
        let byte = unsafe text[place]
        place += 1
        return hasEscapes && byte == 0x5C ? unsafe escapedByte(text, &place) : byte
    }

    /// The byte that an escape of ours stands for, of which the backslash was read.
    private static func escapedByte(
        _ text: UnsafeBufferPointer<UInt8>, _ place: inout Int
    ) -> UInt8 {
        let letter = unsafe text[place]
        place += 1
        switch letter {
        case 0x62: return 0x08
        case 0x74: return 0x09
        case 0x6E: return 0x0A
        case 0x66: return 0x0C
        case 0x72: return 0x0D
        case 0x75:
            // Four digits, of which the first two are zeros.
            let high = unsafe JSONParser.hexDigit(text[place + 2]) ?? 0
            let low = unsafe JSONParser.hexDigit(text[place + 3]) ?? 0
            place += 4
            return high << 4 | low
        default: return letter
        }
    }

    private func duplicate(_ member: Member) -> EncodingError {
        let key = keyText(member)
        return refusal(key, "the key \"\(key)\" is encoded twice")
    }

    func keyText(_ member: Member) -> String {
        unsafe bytes.withElements { text in
            unsafe String(decoding: text[member.keyStart..<member.keyEnd], as: UTF8.self)
        }
    }
}

extension JSONEncoding {
    /// An encoding that runs beside this one, whose result belongs where the buffer ends now.
    private func beside() -> JSONEncoding {
        let level = frames[frames.count - 1].level
        let encoding = JSONEncoding(
            root: JSONEncoding.self, level: level, parentPath: codingPath)
        nested.append(encoding)
        nestedPlaces.append(bytes.count)
        return encoding
    }

    /// An encoding of the next member's value. Codable gives no way to throw here: what is wrong is
    /// told when the object ends.
    func besideMember(_ key: String, of serial: Int) -> JSONEncoding {
        do {
            try beginMember(key, of: serial)
        } catch {
            return refusedBeside(error, serial)
        }
        let encoding = beside()
        members.update(members.count - 1) { $0.end = bytes.count }
        return encoding
    }

    /// An encoding of the next element.
    func besideElement(of serial: Int) -> JSONEncoding {
        do {
            try beginElement(of: serial)
        } catch {
            return refusedBeside(error, serial)
        }
        return beside()
    }

    /// An encoding whose result belongs nowhere; the value whose container asked for it is refused
    /// when it ends, if it has not ended yet. It takes nothing, so that a value that goes on below
    /// the depth limit adds no level and no key of a path.
    private func refusedBeside(_ error: any Error, _ serial: Int) -> JSONEncoding {
        let found = (0..<frames.count).last { frames[$0].serial == serial } ?? frames.count - 1
        let encoding = JSONEncoding(root: JSONEncoding.self, parentPath: codingPath)
        guard let error = error as? EncodingError else { return encoding }
        if found >= 0 { refuse(found, error) }
        encoding.refuse(0, error)
        return encoding
    }

    /// Puts the encodings that ran beside into the places that were kept for them.
    func putNested(_ frame: Frame) throws {
        guard nestedPlaces.count > frame.firstNested else { return }
        let text = JSONText(capacity: bytes.count - frame.start)
        var (copied, added, member) = (frame.start, 0, frame.firstMember)
        for index in frame.firstNested..<nestedPlaces.count {
            let (encoding, offset) = (nested[index], nestedPlaces[index])
            try encoding.closeRoot()
            unsafe bytes.withElements {
                unsafe text.append(contentsOf: UnsafeBufferPointer(rebasing: $0[copied..<offset]))
            }
            copied = offset
            unsafe encoding.bytes.withElements { unsafe text.append(contentsOf: $0) }
            // Members before this one, then its own, which ended where its value was to begin.
            while member < members.count, members[member].end <= offset {
                let isOwn = members[member].end == offset
                members.update(member) { member in
                    member.keyStart += added
                    member.keyEnd += added
                    member.end += added + (isOwn ? encoding.bytes.count : 0)
                }
                member += 1
            }
            added += encoding.bytes.count
        }
        for index in member..<members.count {
            members.update(index) { member in
                member.keyStart += added
                member.keyEnd += added
                member.end += added
            }
        }
        unsafe bytes.withElements {
            unsafe text.append(contentsOf: UnsafeBufferPointer(rebasing: $0[copied...]))
        }
        bytes.truncate(to: frame.start)
        unsafe text.withElements { unsafe bytes.append(contentsOf: $0) }
        dropNested(from: frame.firstNested)
    }
}
