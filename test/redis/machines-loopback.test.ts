import test from 'ava'
import { machinesSuite } from '../compliance/machines.js'

// Machines that are processes on the loopback interface, each behind proxies of its own: wherever the tests run.

machinesSuite(test, 'loopback')
