/*
 * The program of side processes: a Node process that may die. Its one argument says what to do, as JSON; it answers in
 * frames on its standard output.
 */
import { DONE } from './frames.js'
import { type CheckArguments, runCheck } from './side-check.js'
import { type CompactArguments, type CopyArguments, runCompact, runCopy } from './side-copy.js'
import { ignoreSignals, sendFailure, sendJson, sideArguments } from './side-io.js'
import { runWriter, type WriteArguments } from './side-write.js'

type SideArguments = WriteArguments | CopyArguments | CompactArguments | CheckArguments

async function run(args: SideArguments): Promise<void> {
  if (args.command === 'write') return runWriter(args)
  try {
    sendJson(DONE, 0, await runOnce(args))
  } catch (error) {
    sendFailure(0, error)
  }
}

function runOnce(args: Exclude<SideArguments, WriteArguments>): Promise<unknown> {
  switch (args.command) {
    case 'copy':
      return runCopy(args)
    case 'compact':
      return runCompact(args)
    case 'check':
      return runCheck(args)
  }
}

ignoreSignals()
void run(sideArguments<SideArguments>())
