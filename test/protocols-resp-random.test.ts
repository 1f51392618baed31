import test from 'ava'
import fc from 'fast-check'
import { Bytes } from 'millrace'
import { encode } from '../examples/resp/encode.js'
import { cutAtFractions, damaged, fractions, numRuns, survivesMutation, wire } from './fixtures/protocol-support.js'
import { both, good, show, value } from './fixtures/resp-kit.js'

for (const [name, run] of both) {
  test(`B1: resp ${name}: what is encoded comes back, in any pieces`, (t) => {
    fc.assert(
      fc.property(fc.array(value, { maxLength: 4 }), fractions, (values, at) => {
        const input = Bytes.merge(values.map((each) => encode(each))).copy()
        const { frames, fault } = run()(cutAtFractions(input, at))
        if (fault !== undefined) throw new Error(fault)
        const expected = values.map(show)
        if (JSON.stringify(frames) !== JSON.stringify(expected)) throw new Error(`${frames} is not ${expected}`)
      }),
      { numRuns },
    )
    t.pass()
  })

  test(`G2: resp ${name}: damaged input gives values or an error of ours, the same in any pieces`, (t) => {
    const inputs = [...good.map(([text]) => text), good.map(([text]) => text).join('')].map(wire)
    t.notThrows(() => survivesMutation(run(), inputs))
  })
}

test('G2: resp: the reader and the parser agree on damaged input, fault by fault', (t) => {
  const inputs = [...good.map(([each]) => each), good.map(([each]) => each).join('')].map(wire)
  fc.assert(
    fc.property(damaged(inputs), fractions, (input, at) => {
      const [parser, reader] = both.map(([, run]) => {
        const { frames, fault } = run({ maxBytes: 60 })(cutAtFractions(input, at))
        // Where the input ended is the same; which step of a value was waiting then is not.
        return JSON.stringify([frames, fault?.startsWith('MILL_UNEXPECTED_END') ? 'ended' : fault])
      })
      if (parser !== reader) throw new Error(`parser: ${parser}, reader: ${reader}`)
    }),
    { numRuns },
  )
  t.pass()
})
