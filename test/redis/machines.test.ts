import test from 'ava'
import { machinesSuite } from '../compliance/machines.js'
import { whyNoNamespaces } from '../fixtures/machines.js'

// Machines that are network namespaces. Where there can be none, the tests say why, and the same is asked of processes on
// the loopback interface.

const whyNot = await whyNoNamespaces()
if (whyNot === undefined) machinesSuite(test, 'namespaces')
else machinesSuite(test, 'loopback', `no network namespaces here, but processes on loopback: ${whyNot}`)
